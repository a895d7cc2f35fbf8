#pragma once

// For those who put a norm on the tape of another framework; normlab.h does not include it.

#include <utility>

#include "normlab/norm.h"

namespace normlab {

/// What a forward pass keeps for its backward pass beside x and the parameters.
struct NormSaved {
  Tensor statistics;  ///< [5, rows]: mean, rstd, shift, coef, factor; undefined without statistics
  Tensor extremes;    ///< topk: int32 [rows, 2], the entries whose values clamp the others
  Tensor moments;     ///< float64 [rows, 2] if asked for: mean and variance, as the scale has it
};
/// The gradients of a norm's inputs. Undefined: not asked for.
struct NormGradients {
  Tensor x, gain, bias, alpha;
};
/// Which of them are asked for.
struct NormNeeds {
  bool x = true, gain = false, bias = false, alpha = false;
};

/// normalize() off the tape, for the tape of another framework: z, and what norm_backward() reads.
/// "none" has z = x and saves nothing.
/// @param moments  whether to save the moments; batchnorm's and instancenorm's running statistics
///                 are made of them. Those of `parameters` are updated as normalize() does.
std::pair<Tensor, NormSaved> norm_forward(const Tensor& x, const NormSpec& spec,
                                          const NormParameters& parameters = {},
                                          bool moments = false);
/// The backward pass of norm_forward() alone, with the same x, spec and parameters.
/// @throws ShapeError   dz is not shaped like x, or `saved` is of another x.
/// @throws DtypeError   dz has another dtype than x, or `saved` has another than norm_forward()
/// made.
/// @throws DeviceError  dz or `saved` is elsewhere than x.
NormGradients norm_backward(const Tensor& dz, const Tensor& x, const NormSaved& saved,
                            const NormSpec& spec, const NormParameters& parameters = {},
                            const NormNeeds& needs = {});

}  // namespace normlab
