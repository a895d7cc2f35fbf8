#pragma once

#include <cstdint>

#include "backend/cuda/failure.h"
#include "normlab/tensor.h"

namespace normlab::cuda {

/// Attention within packed sentences, and their means.
struct AttentionFunctions {};

extern const AttentionFunctions attention_functions;  ///< within engine/cuda only

}  // namespace normlab::cuda
