#include "launch.h"

namespace normlab::cuda {

const ElementwiseFunctions elementwise_functions = {};

}  // namespace normlab::cuda
