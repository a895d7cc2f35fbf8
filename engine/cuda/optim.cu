#include "launch.h"

namespace normlab::cuda {

const OptimFunctions optim_functions = {};

}  // namespace normlab::cuda
