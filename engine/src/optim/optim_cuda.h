#pragma once

#include <cstdint>

#include "cuda/failure.h"
#include "normlab/tensor.h"
#include "optim/steps.h"

namespace normlab::cuda {

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
                  const optim::Parameter<T>* parameters, int64_t count);
  /// All have a momentum, or none has.
  Failure (*sgd)(const optim::SgdStep<T>& step, const optim::SgdStep<T>* replayed,
                 const optim::Parameter<T>* parameters, int64_t count);
};

/// Optimizers: all tensors in one launch, or in a few if there are very many.
struct OptimFunctions {
  optim::ByType<UpdateFunctions> update;
  /// How many numbers clip() wants to have room for in `parts`.
  int64_t (*clip_parts)(int64_t count);
  /// Writes the joint length of all, and scales them if it is finite and above max_norm.
  Failure (*clip)(const ClipTensor* tensors, int64_t count, double max_norm, double* parts,
                  double* norm);
};

}  // namespace normlab::cuda
