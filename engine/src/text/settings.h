#pragma once

#include "normlab/text.h"

namespace normlab::text {

/// What decides the function beside vocabulary and classes, as text by name, exactly.
Metadata settings_of(const ClassifierOptions& options);
/// Takes these settings out of `metadata`. ValueError for one that is missing or no such value.
ClassifierOptions take_settings(Metadata& metadata);
/// Takes one entry out. ValueError if it is missing.
std::string take_entry(Metadata& metadata, const std::string& key);

}  // namespace normlab::text
