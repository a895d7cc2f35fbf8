#include "launch.h"

namespace normlab::cuda {

const ReduceFunctions reduce_functions = {};

}  // namespace normlab::cuda
