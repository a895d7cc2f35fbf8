#pragma once

#include <cstdint>

#include "backend/cuda/failure.h"
#include "normlab/tensor.h"

namespace normlab::cuda {

/// Matrix products.
struct MatmulFunctions {};

extern const MatmulFunctions matmul_functions;  ///< within engine/cuda only

}  // namespace normlab::cuda
