#pragma once

#include "core/random.h"
#include "cpu/isa.h"

namespace normlab {

/// z[i] = x[i] * scale where the stream's i-th word is at least `threshold`, else 0.
struct DropoutKernels {
  void (*float32)(Stream stream, uint32_t threshold, float scale, const float* x, float* z,
                  int64_t n);
  void (*float64)(Stream stream, uint32_t threshold, double scale, const double* x, double* z,
                  int64_t n);
};
NORMLAB_KERNEL_TABLE(DropoutKernels, dropout_kernels)

}  // namespace normlab
