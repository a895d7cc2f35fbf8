#pragma once

#include "normlab/tensor.h"

namespace normlab {

/// A tensor seen as [outer, n, inner] around an axis (or around neighbouring ones).
struct AxisView {
  int64_t outer = 1, n = 1, inner = 1;
};

}  // namespace normlab
