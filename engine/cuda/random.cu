#include "launch.h"

namespace normlab::cuda {

const RandomFunctions random_functions = {};

}  // namespace normlab::cuda
