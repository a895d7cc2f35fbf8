#pragma once

#include <cstdint>

#include "cpu/isa.h"
#include "optim/steps.h"

namespace normlab::optim {

template <class T>
struct UpdateKernels {
  void (*adam)(const AdamStep<T>& step, const Parameter<T>& p);
  void (*sgd)(const SgdStep<T>& step, const Parameter<T>& p);
};

struct Kernels {
  ByType<UpdateKernels> update;
  /// Sum of squares in float64.
  double (*square_sum)(const float* x, int64_t n);
  void (*scale)(float* x, float factor, int64_t n);
};

}  // namespace normlab::optim

namespace normlab {
NORMLAB_KERNEL_TABLE(optim::Kernels, optim_kernels)
}
