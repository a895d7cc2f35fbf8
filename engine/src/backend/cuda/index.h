#pragma once

#include <cstdint>

#include "backend/cuda/failure.h"
#include "normlab/tensor.h"

namespace normlab::cuda {

/// Indexing: rows taken and given back.
struct IndexFunctions {};

extern const IndexFunctions index_functions;  ///< within engine/cuda only

}  // namespace normlab::cuda
