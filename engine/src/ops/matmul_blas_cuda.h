#pragma once

#include "ops/matmul_cuda.h"

namespace normlab::cuda {

/// Queues to = the product of `args`, + bias [N] unless null. Sets *done = false and does nothing
/// where cuBLASLt has no algorithm for it. No length may be 0.
Failure blas_multiply(const MatrixProduct& args, const void* bias, void* to, bool* done);

}  // namespace normlab::cuda
