#pragma once

#include "cpu/isa.h"
#include "normlab/tensor.h"

namespace normlab {

/// Throws unless offsets is int64 [S + 1], on the device of x, and rises from 0 to the rows of x;
/// errors call it `name`.
/// Of offsets on the GPU the values are checked by the kernels that use them; here if there is
/// nothing for these to do.
void check_offsets(const char* op, const Tensor& offsets, const Tensor& x,
                   const char* name = "offsets");

/// The values alone, of offsets on the CPU.
void check_offset_values(const char* op, const Tensor& offsets, int64_t rows, const char* name);

/// The offsets of the rows of x taken as one sentence, on its device.
Tensor one_sentence(const Tensor& x);

/// The places of the rows in their sentences as sines and cosines, float32 [rows, size] on the GPU;
/// see SegmentFunctions.
Tensor positions_on_gpu(const Tensor& offsets, int64_t rows, int64_t size, double scale);

struct SegmentKernels {
  /// z = factor * sum of `rows` rows of `size` floats.
  void (*sum)(const float* x, int64_t rows, int64_t size, float factor, float* z);
};
NORMLAB_KERNEL_TABLE(SegmentKernels, segment_kernels)

}  // namespace normlab
