#include "launch.h"

namespace normlab::cuda {

const SoftmaxFunctions softmax_functions = {};

}  // namespace normlab::cuda
