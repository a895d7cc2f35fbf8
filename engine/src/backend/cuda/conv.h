#pragma once

#include <cstdint>

#include "backend/cuda/failure.h"
#include "normlab/tensor.h"

namespace normlab::cuda {

/// Convolution and pooling.
struct ConvFunctions {};

extern const ConvFunctions conv_functions;  ///< within engine/cuda only

}  // namespace normlab::cuda
