#include "launch.h"

namespace normlab::cuda {

const ShapeFunctions shape_functions = {};

}  // namespace normlab::cuda
