#pragma once

#include <cstdint>

#include "cuda/failure.h"
#include "normlab/tensor.h"

namespace normlab {
enum class Activation : uint8_t;  // ops.h, whose functions would hide those of <cmath> in kernels
}

namespace normlab::cuda {

/// Matrix products of one dtype, as MatrixProduct (ops/matmul.h) has them. Sums of bfloat16 are
/// float32 until bias and activation are done.
struct ProductArgs {
  DType dtype;
  const void *a, *b;
  void* c;
  bool a_transposed, b_transposed;
  int64_t M, N, K, batch, a_step, b_step;
  const void* bias;  ///< [N] or null
  void* before;      ///< as c, or null: gets what the activation is applied to
  Activation activation;
  bool tf32;  ///< float32 may be rounded to TF32's 10 bits before it is multiplied
};

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
  Failure (*multiply)(const ProductArgs& args);
  Failure (*activation_backward)(const ActivationGradArgs& args);
  /// Rows of partial sums that activation_backward wants for dbias.
  int64_t (*parts)(int64_t rows, int64_t width);
};

}  // namespace normlab::cuda
