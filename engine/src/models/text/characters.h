#pragma once

#include <cstdint>
#include <string_view>

namespace normlab::text {

/// Bytes of the character that begins at `at`. ArgumentError for invalid UTF-8 or a NUL character,
/// naming the byte.
size_t character_length(std::string_view line, size_t at);
/// Code point of a valid UTF-8 character.
uint32_t code_point(std::string_view character);
/// White space as Unicode has it, and what shows nothing: control characters, zero-width spaces,
/// the byte order mark.
bool is_space(uint32_t code);

}  // namespace normlab::text
