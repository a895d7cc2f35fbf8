#pragma once

#include "normlab/text.h"

namespace normlab::text {

/// What decides the function beside vocabulary and classes, as text by name, exactly.
Metadata settings_of(const ClassifierOptions& options);
/// Takes these settings out of `metadata`. ArgumentError for one that is missing or no such value.
ClassifierOptions take_settings(Metadata& metadata);

}  // namespace normlab::text
