#pragma once

#include "cuda/failure.h"
#include "ops/matmul.h"

namespace normlab::cuda {

struct MatmulFunctions {
  Failure (*multiply)(const MatrixProduct& p);
};

}  // namespace normlab::cuda
