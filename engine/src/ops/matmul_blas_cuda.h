#pragma once

#include "ops/matmul_cuda.h"

namespace normlab::cuda {

/// What cuBLASLt does to a product on its way out: + bias [N] unless null.
struct BlasEpilogue {
  const void* bias = nullptr;
};

/// Queues to = the product of `args` with that epilogue. Sets *done = false and does nothing where
/// cuBLASLt has no algorithm for it. No length may be 0.
Failure blas_multiply(const MatrixProduct& args, const BlasEpilogue& epilogue, void* to,
                      bool* done);

}  // namespace normlab::cuda
