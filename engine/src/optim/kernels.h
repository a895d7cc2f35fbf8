#pragma once

#include <cstdint>

#include "backend/isa.h"

namespace normlab::optim {

/// One step's constants. What depends on the step number is computed once, in double.
struct AdamStep {
  float l2;                   ///< weight decay that is added to the gradient
  float keep;                 ///< factor on the parameter: 1 - lr * decoupled weight decay
  float rate1, beta2, rate2;  ///< 1 - beta1; beta2; 1 - beta2
  float size;                 ///< lr / (1 - beta1^step)
  float root;                 ///< 1 / sqrt(1 - beta2^step)
  float eps;
};
struct SgdStep {
  float l2, momentum, lr;
  bool nesterov;
};

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
