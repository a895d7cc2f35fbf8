#pragma once

#include "backend/isa.h"
#include "normlab/tensor.h"

namespace normlab {

/// Throws unless offsets is int64 [S + 1] and rises from 0 to `rows`.
void check_offsets(const char* op, const Tensor& offsets, int64_t rows);

struct SegmentKernels {
  /// z = factor * sum of `rows` rows of `size` floats.
  void (*sum)(const float* x, int64_t rows, int64_t size, float factor, float* z);
};
NORMLAB_KERNEL_TABLE(SegmentKernels, segment_kernels)

}  // namespace normlab
