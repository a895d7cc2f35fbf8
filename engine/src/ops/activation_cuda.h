#pragma once

#ifndef NORMLAB_ISA
#define NORMLAB_ISA cuda
#endif
#include "cuda/launch.h"
#include "ops/elementwise_table.h"

// The table's activations on one element. The activation is the same for every thread.

namespace normlab::cuda {

template <size_t I>
constexpr bool kIsActivation = std::get<I>(kUnary).activation;

template <size_t I = 0, class T>
__device__ T activate(Activation activation, T x) {
  if constexpr (I == kUnaryOps) {
    return x;
  } else {
    if constexpr (kIsActivation<I>)
      if (activation == static_cast<Activation>(I)) return decltype(UnaryRowAt<I>::z)()(x);
    return activate<I + 1>(activation, x);
  }
}

}  // namespace normlab::cuda
