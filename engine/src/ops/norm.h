#pragma once

#include "normlab/norm.h"

namespace normlab {

/// ArgumentError for options that the variant does not take and for numbers that no x makes right,
/// so that a layer is told when it is made.
void check_numbers(const char* op, const NormTraits& variant, const NormOptions& options);
/// Those that the variant takes, the others as they are by default: files of earlier versions may
/// hold any. ArgumentError for numbers that no variant takes.
NormOptions taken_options(const char* op, const NormTraits& variant, NormOptions options);

}  // namespace normlab
