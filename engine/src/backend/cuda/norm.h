#pragma once

#include <cstdint>

#include "backend/cuda/failure.h"
#include "normlab/norm.h"

namespace normlab::cuda {

/// One normalisation of rows of H contiguous elements, as NormProblem has it. T is float or double.
template <class T>
struct NormArgs {
  int64_t rows, H;
  Scale scale;  ///< std, rms or l2
  Output output;
  bool via_mean, via_scale;  ///< whether the statistics have a gradient
  bool var_eps, scalar_gain;
  double eps;
  T C, k;
  const T *x, *gain, *bias;       ///< gain and bias may be null
  T *mean, *rstd, *shift, *coef;  ///< [rows]: written by forward, read by backward
  T* z;                           ///< forward only
  const T* dz;                    ///< backward only, as all below
  T *dx, *dgain, *dbias;          ///< null: not wanted
  T* partials;                    ///< [parts, 2, H] for the parameters' gradients
};

struct NormFunctions {
  Failure (*forward_float)(const NormArgs<float>& args);
  Failure (*forward_double)(const NormArgs<double>& args);
  /// Rows of partial sums that backward wants for the parameters' gradients.
  int64_t (*parts)(int64_t rows, int64_t H);
  Failure (*backward_float)(const NormArgs<float>& args, int64_t parts);
  Failure (*backward_double)(const NormArgs<double>& args, int64_t parts);
};

extern const NormFunctions norm_functions;  ///< within engine/cuda only

}  // namespace normlab::cuda
