#include "models/text/characters.h"

#include "core/json.h"
#include "normlab/error.h"

namespace normlab::text {
namespace {

struct Range {
  uint32_t first, last;
};
constexpr Range kSpaces[] = {
    {0x01, 0x20},     {0x7F, 0xA0},     {0x1680, 0x1680}, {0x2000, 0x200B}, {0x2028, 0x2029},
    {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}, {0xFEFF, 0xFEFF},
};

}  // namespace

size_t character_length(std::string_view line, size_t at) {
  check<ArgumentError>(line[at] != '\0', "tokenize", "byte ", at, " of the line is NUL");
  const size_t length = utf8_length(line, at);
  check<ArgumentError>(length > 0, "tokenize", "the line must be UTF-8, at byte ", at,
                       " it is not");
  return length;
}

uint32_t code_point(std::string_view character) {
  constexpr uint32_t kLeadBits[] = {0x7F, 0x7F, 0x1F, 0x0F, 0x07};
  uint32_t code = static_cast<unsigned char>(character[0]) & kLeadBits[character.size()];
  for (const char c : character.substr(1)) code = code << 6 | (static_cast<uint32_t>(c) & 0x3F);
  return code;
}

bool is_space(uint32_t code) {
  for (const auto [first, last] : kSpaces)
    if (first <= code && code <= last) return true;
  return false;
}

}  // namespace normlab::text
