#pragma once

#include "cpu/isa.h"
#include "normlab/tensor.h"

namespace normlab {

/// x broadcast to `shape`, copied and off the tape: what derivatives of reductions need.
/// The shapes must fit.
Tensor expand(const Tensor& x, const Shape& shape);

/// Transposes of square tiles, side x side elements of 4 bytes.
struct ShapeKernels {
  int64_t side;
  /// Element j of row i of `to` is element i of row j of `from`; rows lie `step` elements apart.
  void (*transpose)(const void* from, int64_t from_step, void* to, int64_t to_step);
};
NORMLAB_KERNEL_TABLE(ShapeKernels, shape_kernels)

}  // namespace normlab
