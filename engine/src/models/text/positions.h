#pragma once

#include "normlab/tensor.h"

namespace normlab::text {

/// Row p: sin and cos of p / 10000^(2 i / D), side by side (Vaswani et al. 2017, section 3.5),
/// times `scale`: float32 [length, size].
Tensor sine_positions(int64_t length, int64_t size, double scale);

}  // namespace normlab::text
