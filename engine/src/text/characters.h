#pragma once

#include <cstdint>
#include <string_view>

namespace normlab::text {

/// Code point of a valid UTF-8 character.
uint32_t code_point(std::string_view character);
/// White space as Unicode has it, and what shows nothing: control characters, zero-width spaces,
/// the byte order mark.
bool is_space(uint32_t code);

}  // namespace normlab::text
