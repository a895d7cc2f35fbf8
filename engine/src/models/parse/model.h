#pragma once

#include "normlab/parse.h"

namespace normlab::parse {

/// ValueError unless networks and vocabularies are there and fit together.
void check_model(const char* op, const Model& model);

}  // namespace normlab::parse
