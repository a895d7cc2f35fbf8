#pragma once

#include <cstdint>
#include <type_traits>

#include "cuda/failure.h"
#include "normlab/norm.h"

namespace normlab::cuda {

/// What values stored as T are computed in; parameters and statistics are stored so, too.
template <class T>
using accumulate_t = std::conditional_t<std::is_same_v<T, double>, double, float>;

/// One normalisation of rows of H contiguous elements, as NormProblem has it. With `batch` a row is
/// a channel of x [outer, rows, places] instead, and H = outer * places.
template <class T>
struct NormArgs {
  using A = accumulate_t<T>;
  int64_t rows, H;
  /// Element (r, j) has parameter j if segment == 0, else (r % groups) * (H / segment) + j /
  /// segment. With `batch`: r.
  int64_t groups, segment;
  Scale scale;
  Output output;
  bool via_mean, via_scale;  ///< whether the statistics have a gradient
  bool var_eps;
  bool batch, given_stats;  ///< given: the running statistics are used, not updated
  int64_t places;           ///< of batch
  int64_t clamp;            ///< this many entries on each side are clamped
  A eps, C, k, momentum;
  double exact_eps;  ///< as given: it may be beyond float, and so may what it is added to
  const T* x;
  const T* residual;             ///< null, or what is added to x first,
  T* total;                      ///<   and where the sum goes
  const A *gain, *bias, *alpha;  ///< may be null
  /// Written by forward, read by backward: y = ((x * factor - mean) - off) * rstd, [rows] each.
  /// `off` is what rounding the mean lost; `factor` is 1, or the power of two that brings a row of
  /// huge or tiny numbers into NormRange.
  A *mean, *off, *rstd, *coef, *factor;
  int32_t* extremes;              ///< [rows, 2] if anything is clamped, else null
  A *running_mean, *running_var;  ///< [channels], or null
  bool updates_running;
  T* z;                       ///< forward only
  const T* dz;                ///< backward only, as all below
  T* dx;                      ///< null: not wanted
  A *dgain, *dbias, *dalpha;  ///< null: not wanted
  A* scratch;                 ///< as many as the function asked for
};

/// The functions for one element type.
template <class T>
struct NormCalls {
  int64_t (*forward_scratch)(const NormArgs<T>& args);
  Failure (*forward)(const NormArgs<T>& args);
  int64_t (*backward_scratch)(const NormArgs<T>& args);
  Failure (*backward)(const NormArgs<T>& args);
};

struct NormFunctions {
  NormCalls<float> of_float;
  NormCalls<double> of_double;
  NormCalls<bfloat16> of_bfloat16;

  template <class T>
  const NormCalls<T>& of() const {
    if constexpr (std::is_same_v<T, double>)
      return of_double;
    else if constexpr (std::is_same_v<T, bfloat16>)
      return of_bfloat16;
    else
      return of_float;
  }
};

}  // namespace normlab::cuda
