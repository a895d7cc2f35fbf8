#pragma once

#include "normlab/parse.h"

namespace normlab::parse {

/// ArgumentError unless networks and vocabularies are there and fit together.
void check_model(const char* op, const Model& model);

}  // namespace normlab::parse
