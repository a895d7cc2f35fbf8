#pragma once

#include <cstdint>
#include <string_view>

#include "core/json.h"

namespace normlab::text {

/// Bytes of the character that begins at `at`. ArgumentError for invalid UTF-8 or a NUL character,
/// naming the byte.
size_t character_length(std::string_view line, size_t at);
/// Code point of a valid UTF-8 character.
uint32_t code_point(std::string_view character);
/// White space as Unicode has it, and what shows nothing: control characters, zero-width spaces,
/// the byte order mark.
bool is_space(uint32_t code);
/// The small letter of a Latin, Greek, Cyrillic or Armenian capital, any other character as it is.
/// It takes as many bytes.
uint32_t lower(uint32_t code);

/// Calls character(code, at, length) for each character of UTF-8 text.
template <class Character>
void for_characters(std::string_view text, const Character& character) {
  for (size_t at = 0, length = 0; at < text.size(); at += length) {
    length = utf8_length(text, at);
    character(code_point(text.substr(at, length)), at, length);
  }
}

}  // namespace normlab::text
