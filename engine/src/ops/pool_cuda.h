#pragma once

#include <cstdint>

#include "cuda/failure.h"
#include "normlab/tensor.h"
#include "ops/window_shapes.h"

namespace normlab::cuda {

/// One pooling of planes: from x to z, or from dz to dx.
struct PoolArgs {
  DType dtype;
  PoolShape shape;
  const void* from;
  void* to;
  int32_t* winner;  ///< [planes, OH, OW]: the greatest element's place in its plane; max only
};

struct PoolFunctions {
  Failure (*max)(const PoolArgs& args);
  Failure (*max_backward)(const PoolArgs& args);
  Failure (*mean)(const PoolArgs& args);
  Failure (*mean_backward)(const PoolArgs& args);
};

}  // namespace normlab::cuda
