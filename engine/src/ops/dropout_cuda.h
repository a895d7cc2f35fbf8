#pragma once

#include <cstdint>

#include "cuda/failure.h"
#include "normlab/tensor.h"

namespace normlab::cuda {

/// z[i] = x[i] * scale where word i of the stream (seed, block) is at least `threshold`, else 0.
struct DropoutArgs {
  DType dtype;
  const void* x;
  int64_t n;
  uint64_t seed, block;
  const uint64_t* replay;  ///< on the device, added to `block`; or null
  uint32_t threshold;
  double scale;
  void* z;
};

/// Random numbers and dropout.
struct RandomFunctions {
  Failure (*dropout)(const DropoutArgs& args);
};

}  // namespace normlab::cuda
