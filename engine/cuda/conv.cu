#include "launch.h"

namespace normlab::cuda {

const ConvFunctions conv_functions = {};

}  // namespace normlab::cuda
