#include "models/text/characters.h"

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

/// Capitals in steps of `step`, whose small letters are `offset` further on and take as many bytes.
struct Capitals {
  uint32_t first, last, step, offset;
};
constexpr Capitals kCapitals[] = {
    {'A', 'Z', 1, 32},     {0xC0, 0xD6, 1, 32},    {0xD8, 0xDE, 1, 32},    {0x100, 0x12E, 2, 1},
    {0x132, 0x136, 2, 1},  {0x139, 0x147, 2, 1},   {0x14A, 0x176, 2, 1},   {0x179, 0x17D, 2, 1},
    {0x391, 0x3A1, 1, 32}, {0x3A3, 0x3AB, 1, 32},  {0x400, 0x40F, 1, 80},  {0x410, 0x42F, 1, 32},
    {0x460, 0x480, 2, 1},  {0x48A, 0x4BE, 2, 1},   {0x4C1, 0x4CD, 2, 1},   {0x4D0, 0x52E, 2, 1},
    {0x531, 0x556, 1, 48}, {0x1E00, 0x1E94, 2, 1}, {0x1EA0, 0x1EFE, 2, 1}, {0xFF21, 0xFF3A, 1, 32},
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

uint32_t lower(uint32_t code) {
  for (const auto& [first, last, step, offset] : kCapitals)
    if (first <= code && code <= last && (code - first) % step == 0) return code + offset;
  return code;
}

}  // namespace normlab::text
