#pragma once

#include <cstdint>

#include "cpu/isa.h"
#include "optim/steps.h"

namespace normlab::optim {

template <class T>
struct UpdateKernels {
  void (*adam)(const AdamStep<T>& step, T* w, const T* g, T* avg, T* sq, int64_t n);
  /// `velocity` is null without momentum.
  void (*sgd)(const SgdStep<T>& step, T* w, const T* g, T* velocity, int64_t n);
};

struct Kernels {
  UpdateKernels<float> float32;
  UpdateKernels<double> float64;
  template <class T>
  const UpdateKernels<T>& of() const {
    if constexpr (sizeof(T) == 8)
      return float64;
    else
      return float32;
  }
  /// Sum of squares in float64.
  double (*square_sum)(const float* x, int64_t n);
  void (*scale)(float* x, float factor, int64_t n);
};

}  // namespace normlab::optim

namespace normlab {
NORMLAB_KERNEL_TABLE(optim::Kernels, optim_kernels)
}
