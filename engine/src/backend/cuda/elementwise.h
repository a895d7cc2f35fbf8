#pragma once

#include <cstdint>

#include "backend/cuda/failure.h"
#include "normlab/tensor.h"

namespace normlab::cuda {

/// Elementwise ops.
struct ElementwiseFunctions {};

extern const ElementwiseFunctions elementwise_functions;  ///< within engine/cuda only

}  // namespace normlab::cuda
