#pragma once

#include <cstdint>

#include "backend/cuda/failure.h"
#include "normlab/tensor.h"

namespace normlab::cuda {

/// Optimizers.
struct OptimFunctions {};

extern const OptimFunctions optim_functions;  ///< within engine/cuda only

}  // namespace normlab::cuda
