#pragma once

#include "ops/norm_problem.h"

namespace normlab {

/// The shape of a variant's gain and bias for rows of that shape. Running statistics have it too.
Shape norm_parameter_shape(const NormTraits& variant, const Shape& row);

/// Checks spec and parameters, and plans the normalisation of x for the kernels.
NormPlan norm_plan(const Tensor& x, const NormSpec& spec, const NormParameters& parameters);

}  // namespace normlab
