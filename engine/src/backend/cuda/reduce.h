#pragma once

#include <cstdint>

#include "backend/cuda/failure.h"
#include "normlab/tensor.h"

namespace normlab::cuda {

/// Reductions.
struct ReduceFunctions {};

extern const ReduceFunctions reduce_functions;  ///< within engine/cuda only

}  // namespace normlab::cuda
