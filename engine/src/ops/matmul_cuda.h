#pragma once

#include "cuda/failure.h"
#include "ops/matmul.h"

namespace normlab::cuda {

/// dx = dz * act'(kept) on [rows, width], and the sums of its columns, float32 for bfloat16.
struct ActivationGradArgs {
  DType dtype;
  Activation activation;
  int64_t rows, width;
  const void *dz, *kept;  ///< kept: x if keeps_input(activation), else z; unused without activation
  void* dx;               ///< null: not wanted, as without activation
  void* dbias;            ///< [width], null: not wanted
  void* partials;         ///< [parts, width] if there are several parts
  int64_t parts;
};

struct MatmulFunctions {
  Failure (*multiply)(const MatrixProduct& p);
  Failure (*activation_backward)(const ActivationGradArgs& args);
  /// Rows of partial sums that activation_backward wants for dbias.
  int64_t (*parts)(int64_t rows, int64_t width);
};

}  // namespace normlab::cuda
