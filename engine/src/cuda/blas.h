#pragma once

#include "cuda/failure.h"

namespace normlab::cuda {

/// Opens cuBLASLt and allocates its workspace; part of opening the device. Defined beside the
/// products of matrices, ops/matmul_blas_cuda.cu.
Failure open_blas();

}  // namespace normlab::cuda
