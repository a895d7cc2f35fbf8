#include "launch.h"

namespace normlab::cuda {

const MatmulFunctions matmul_functions = {};

}  // namespace normlab::cuda
