#pragma once

#include "cuda/launch.h"
#include "ops/conv_cuda.h"

namespace normlab::cuda {

Failure max_pool(const PoolArgs& args);
Failure max_pool_backward(const PoolArgs& args);
Failure avg_pool(const PoolArgs& args);
Failure avg_pool_backward(const PoolArgs& args);

}  // namespace normlab::cuda
