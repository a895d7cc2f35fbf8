#pragma once

#include <cstdint>

#include "backend/isa.h"
#include "optim/steps.h"

namespace normlab::optim {

struct Kernels {
  void (*adam)(const AdamStep& step, float* w, const float* g, float* avg, float* sq, int64_t n);
  /// `velocity` is null without momentum.
  void (*sgd)(const SgdStep& step, float* w, const float* g, float* velocity, int64_t n);
  /// Sum of squares in float64.
  double (*square_sum)(const float* x, int64_t n);
  void (*scale)(float* x, float factor, int64_t n);
};

}  // namespace normlab::optim

namespace normlab {
NORMLAB_KERNEL_TABLE(optim::Kernels, optim_kernels)
}
