#pragma once

#include "normlab/norm.h"

namespace normlab {

/// ValueError for numbers that no x makes right, so that a layer is told when it is made.
void check_numbers(const char* op, const NormTraits& variant, const NormOptions& options);

}  // namespace normlab
