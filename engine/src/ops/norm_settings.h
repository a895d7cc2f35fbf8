#pragma once

#include "normlab/norm.h"

namespace normlab {

/// ArgumentError for a setting that the variant does not take or that is out of its range: a layer
/// is told when it is made.
void check_settings(const char* op, const NormSpec& spec);
/// Settings that the variant does not take are as they are by default: files of earlier versions
/// may hold any. ArgumentError for one out of its range.
NormSpec taken_settings(const char* op, NormSpec spec);

}  // namespace normlab
