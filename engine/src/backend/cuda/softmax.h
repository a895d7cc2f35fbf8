#pragma once

#include <cstdint>

#include "backend/cuda/failure.h"
#include "normlab/tensor.h"

namespace normlab::cuda {

/// Softmax and losses.
struct SoftmaxFunctions {};

extern const SoftmaxFunctions softmax_functions;  ///< within engine/cuda only

}  // namespace normlab::cuda
