#pragma once

#include <cstdint>

#include "cuda/failure.h"
#include "cuda/fault.h"
#include "ops/loss.h"

namespace normlab::cuda {

/// How the losses of the rows become one.
enum class LossSum : uint8_t { none, sum, mean };

/// Cross entropy of rows of n logits, as loss_reference.cpp has it.
struct LossArgs {
  DType dtype;
  const void* logits;         ///< [rows, n]
  const void* probabilities;  ///< [rows, n], or null: the targets are classes
  const void* weight;         ///< [n], or null: every class counts 1
  int64_t rows, n;
  double smoothing;
  LossSum sum;
  int64_t* classes;  ///< [rows]: written by forward, read by backward; -1: counts nothing
  void* stats;       ///< [rows, kLossStats]: the same; float32 for bfloat16
  double* divisor;   ///< [1]: the same unless `sum` is none: what the sum is divided by

  // Forward only.
  const void* targets;  ///< [rows], or null
  DType target_dtype;   ///< int32 or int64
  bool ignores;
  int64_t ignored;  ///< if `ignores`: the target of rows that count nothing
  ValueCheck check;
  void* losses;  ///< [rows]
  void* loss;    ///< [1] unless `sum` is none

  // Backward only.
  const void* dz;            ///< of `losses` if `sum` is none, else of `loss`
  void *dlogits, *dtargets;  ///< null: not wanted
};

/// Softmax of rows of n contiguous elements (`log`: log_softmax), and losses.
struct SoftmaxFunctions {
  Failure (*forward)(DType dtype, const void* x, int64_t rows, int64_t n, bool log, void* z);
  /// dx from the result z.
  Failure (*backward)(DType dtype, const void* z, const void* dz, int64_t rows, int64_t n, bool log,
                      void* dx);
  Failure (*loss)(const LossArgs& args);
  Failure (*loss_backward)(const LossArgs& args);
};

}  // namespace normlab::cuda
