#include "launch.h"

namespace normlab::cuda {

const AttentionFunctions attention_functions = {};

}  // namespace normlab::cuda
