#pragma once

#include <cstdint>

#include "backend/cuda/failure.h"
#include "normlab/tensor.h"

namespace normlab::cuda {

/// Axes in other orders, parts of tensors, other dtypes.
struct ShapeFunctions {};

extern const ShapeFunctions shape_functions;  ///< within engine/cuda only

}  // namespace normlab::cuda
