#pragma once

#include <cstdint>

#include "backend/cuda/failure.h"
#include "normlab/tensor.h"
#include "optim/steps.h"

namespace normlab::cuda {

/// A parameter with its gradient and what the optimizer keeps of it; null: nothing.
struct OptimTensor {
  float* w;
  const float* g;
  float *first, *second;  ///< Adam's moments; SGD's momentum is the first
  int64_t n;
};

/// A gradient, float32 or float64.
struct ClipTensor {
  void* g;
  int64_t n;
  DType dtype;
};

/// Optimizers: all tensors in one launch, or in a few if there are very many.
struct OptimFunctions {
  /// The constants are `step`, or what lies at `replayed` on the device unless that is null.
  Failure (*adam)(const optim::AdamStep& step, const optim::AdamStep* replayed,
                  const OptimTensor* tensors, int64_t count);
  Failure (*sgd)(const optim::SgdStep& step, const optim::SgdStep* replayed,
                 const OptimTensor* tensors, int64_t count);
  /// How many numbers clip() wants to have room for in `parts`.
  int64_t (*clip_parts)(const ClipTensor* tensors, int64_t count);
  /// Writes the joint length of all, and scales them if it is finite and above max_norm.
  Failure (*clip)(const ClipTensor* tensors, int64_t count, double max_norm, double* parts,
                  double* norm);
};

extern const OptimFunctions optim_functions;  ///< within the library only

}  // namespace normlab::cuda
