#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "backend/cuda_interface.h"

namespace normlab::cuda {

/// The stream that all work is queued on.
cudaStream_t stream();

/// Null for success, else the error in words.
Failure failure_of(cudaError_t error);
/// That of the launch just made.
inline Failure launched() {
  return failure_of(cudaGetLastError());
}

}  // namespace normlab::cuda
