#pragma once

#include <cstdint>

#include "cuda/failure.h"
#include "normlab/tensor.h"
#include "optim/steps.h"

namespace normlab::cuda {

/// A parameter with its gradient and what the optimizer keeps of it; null: nothing.
template <class T>
struct OptimTensor {
  T* w;
  const T* g;
  T *first, *second;  ///< Adam's moments; SGD's momentum is the first
  int64_t n;
};

/// A gradient, float32 or float64.
struct ClipTensor {
  void* g;
  int64_t n;
  DType dtype;
};

/// Steps of parameters of one type.
template <class T>
struct UpdateFunctions {
  /// The constants are `step`, or what lies at `replayed` on the device unless that is null.
  Failure (*adam)(const optim::AdamStep<T>& step, const optim::AdamStep<T>* replayed,
                  const OptimTensor<T>* tensors, int64_t count);
  /// All tensors have a momentum, or none has.
  Failure (*sgd)(const optim::SgdStep<T>& step, const optim::SgdStep<T>* replayed,
                 const OptimTensor<T>* tensors, int64_t count);
};

/// Optimizers: all tensors in one launch, or in a few if there are very many.
struct OptimFunctions {
  UpdateFunctions<float> float32;
  UpdateFunctions<double> float64;
  template <class T>
  const UpdateFunctions<T>& of() const {
    if constexpr (sizeof(T) == 8)
      return float64;
    else
      return float32;
  }
  /// How many numbers clip() wants to have room for in `parts`.
  int64_t (*clip_parts)(const ClipTensor* tensors, int64_t count);
  /// Writes the joint length of all, and scales them if it is finite and above max_norm.
  Failure (*clip)(const ClipTensor* tensors, int64_t count, double max_norm, double* parts,
                  double* norm);
};

}  // namespace normlab::cuda
