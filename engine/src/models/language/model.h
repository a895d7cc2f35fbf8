#pragma once

#include "normlab/language.h"

namespace normlab::language {

/// ArgumentError unless the model has a network, and the vocabulary is the network's.
void check_model(const char* op, const Model& model);

}  // namespace normlab::language
