#pragma once

#include "models/text/frequency.h"
#include "normlab/parse.h"

namespace normlab::parse {

/// Bytes of the character at text[at], 1 where it is not UTF-8.
size_t character_at(std::string_view text, size_t at);

/// A word in lower case (Latin, Greek and Cyrillic letters) and with every digit as 0, or one of
/// both.
std::string spelled(std::string_view form, bool lower_case, bool digits);

enum class CharacterKind : uint8_t { capital, small, digit, mark };
/// Of the character at text[at]; letters without case are small.
CharacterKind kind_of(std::string_view text, size_t at);

using Counts = std::unordered_map<std::string, int64_t>;
inline std::vector<std::string> by_frequency(const Counts& counts, int64_t least) {
  return text::by_frequency({counts.begin(), counts.end()}, least);
}

}  // namespace normlab::parse
