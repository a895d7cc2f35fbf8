#pragma once

#include <cstdint>

#include "backend/isa.h"

namespace normlab {

struct AccumulateKernels {
  void (*add_float)(float* into, const float* from, int64_t n);
  void (*add_double)(double* into, const double* from, int64_t n);
};
NORMLAB_KERNEL_TABLE(AccumulateKernels, accumulate_kernels)

}  // namespace normlab
