#pragma once

#include "normlab/nn.h"

namespace normlab::text {

/// The settings of an encoder as text by name, exactly.
Metadata settings_of(const nn::TransformerOptions& options);
/// Takes these settings out of `metadata`. ValueError for one that is missing or no such value.
nn::TransformerOptions take_settings(Metadata& metadata);
/// Takes one entry out. ValueError if it is missing.
std::string take_entry(Metadata& metadata, const std::string& key);

}  // namespace normlab::text
