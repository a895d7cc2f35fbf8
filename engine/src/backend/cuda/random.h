#pragma once

#include <cstdint>

#include "backend/cuda/failure.h"
#include "normlab/tensor.h"

namespace normlab::cuda {

/// Random numbers and dropout.
struct RandomFunctions {};

extern const RandomFunctions random_functions;  ///< within engine/cuda only

}  // namespace normlab::cuda
