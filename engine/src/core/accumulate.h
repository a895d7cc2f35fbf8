#pragma once

#include <cstdint>

#include "cpu/isa.h"

namespace normlab {

/// The loops of the core: adding gradients, copying tensors.
struct AccumulateKernels {
  void (*add_float)(float* into, const float* from, int64_t n);
  void (*add_double)(double* into, const double* from, int64_t n);
  /// Copies past the caches; both pointers aligned to 64 bytes, bytes a multiple of 64.
  void (*copy_streaming)(void* to, const void* from, int64_t bytes);
};
NORMLAB_KERNEL_TABLE(AccumulateKernels, accumulate_kernels)

/// Copies on all threads; past the caches if the tensor does not fit them.
void copy_bytes(void* to, const void* from, int64_t bytes);

}  // namespace normlab
