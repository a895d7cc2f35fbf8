#include "launch.h"

namespace normlab::cuda {

const IndexFunctions index_functions = {};

}  // namespace normlab::cuda
