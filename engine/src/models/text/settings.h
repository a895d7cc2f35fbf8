#pragma once

#include "normlab/text.h"

namespace normlab::text {

/// The settings of a classifier beside vocabulary and classes: exact text by name.
Metadata settings_of(const ClassifierOptions& options);
/// Takes these settings out of `metadata`. ArgumentError for one that is missing or no such value.
ClassifierOptions take_settings(Metadata& metadata);

}  // namespace normlab::text
