#pragma once

#include <cstdint>

#include "cpu/isa.h"
#include "normlab/norm.h"

namespace normlab {

/// What the running statistics take from one row; the variance is what the scale is made of.
struct NormMoments {
  double mean, var;
};

/// One normalisation as its kernels see it: rows of H contiguous elements that each share one mean
/// and one scale. T is float or double.
template <class T>
struct NormProblem {
  const NormTraits* traits = nullptr;
  int64_t rows = 0, H = 0;
  double eps = 0;
  Denominator denominator = Denominator::var_eps;
  double C = 1, k = 0;
  int64_t clamp = 0;         ///< this many entries on each side are clamped
  bool given_stats = false;  ///< mean and rstd are inputs (batchnorm's running statistics)
  bool stream = false;       ///< the result is larger than the caches: write past them

  const T* x = nullptr;
  const T* gain = nullptr;  ///< null: 1
  const T* bias = nullptr;  ///< null: 0
  double alpha = 0;         ///< dyt
  /// Element (r, j) has parameter j if segment == 0, else (r % groups) * (H / segment) + j /
  /// segment.
  int64_t groups = 1, segment = 0;

  /// Saved for backward, one a row: y = (x * factor - mean) * rstd + shift. `shift` carries what
  /// rounding the mean to T lost: it matters where the mean is large. `coef` times sum(dy * y) is
  /// the scale's share of the gradient. `factor` is 1, or the power of two that brings a row of
  /// huge or tiny numbers into NormRange: mean and rstd are those of the product.
  T *mean = nullptr, *rstd = nullptr, *shift = nullptr, *coef = nullptr, *factor = nullptr;
  NormMoments* moments = nullptr;  ///< [rows], null: not wanted
  int32_t* extremes = nullptr;     ///< topk: index of the kk-th largest and of the kk-th smallest

  T* z = nullptr;         ///< forward only
  const T* dz = nullptr;  ///< backward only
  T* dx = nullptr;        ///< null: not wanted
};

/// What rows [begin, end) add to the parameters' gradients; null pointers are not wanted. The
/// caller has cleared them.
template <class T>
struct NormParamGrads {
  T* gain = nullptr;
  T* bias = nullptr;
  double* alpha = nullptr;
};

/// The specification: plain loops, any floating type.
template <class T>
void norm_forward_reference(const NormProblem<T>& p, int64_t begin, int64_t end);
template <class T>
void norm_backward_reference(const NormProblem<T>& p, int64_t begin, int64_t end,
                             const NormParamGrads<T>& grads);

/// The fast ones, for each instruction set.
struct NormKernels {
  void (*forward)(const NormProblem<float>& p, int64_t begin, int64_t end);
  void (*backward)(const NormProblem<float>& p, int64_t begin, int64_t end,
                   const NormParamGrads<float>& grads);
};
NORMLAB_KERNEL_TABLE(NormKernels, norm_kernels)

}  // namespace normlab
