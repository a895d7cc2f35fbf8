#include "models/text/shapes.h"

#include <algorithm>
#include <iterator>

#include "models/text/characters.h"

namespace normlab::text {
namespace {

struct Kind {
  uint32_t first, last;
  char shape;
};
/// Blocks of marks and symbols; what is in none is a letter. The first that fits counts.
constexpr Kind kKinds[] = {
    {0x00AA, 0x00AA, kLetter},     {0x00AB, 0x00AB, '"'},         {0x00AD, 0x00AD, kLetter},
    {0x00B2, 0x00B3, kLetter},     {0x00B4, 0x00B4, '\''},        {0x00B5, 0x00B5, kLetter},
    {0x00B9, 0x00BA, kLetter},     {0x00BB, 0x00BB, '"'},         {0x00BC, 0x00BE, kLetter},
    {0x00A1, 0x00BF, kMark},       {0x00D7, 0x00D7, kMark},       {0x00F7, 0x00F7, kMark},
    {0x02BC, 0x02BC, '\''},        {0x200C, 0x200D, kGlue},       {0x2010, 0x2011, '-'},
    {0x2018, 0x201B, '\''},        {0x201C, 0x201F, '"'},         {0x2012, 0x205E, kMark},
    {0x20A0, 0x20CF, kMark},       {0x20D0, 0x20F0, kModifier},   {0x2120, 0x2122, kMark},
    {0x2190, 0x2BFF, kSymbol},     {0x3001, 0x3003, kMark},       {0x3008, 0x3020, kMark},
    {0xFE00, 0xFE0F, kModifier},   {0xFE30, 0xFE4F, kMark},       {0xFF01, 0xFF0F, kMark},
    {0xFF1A, 0xFF20, kMark},       {0xFF3B, 0xFF3D, kMark},       {0xFF5B, 0xFF65, kMark},
    {0x1F1E6, 0x1F1FF, kFlag},     {0x1F3FB, 0x1F3FF, kModifier}, {0x1F000, 0x1FAFF, kSymbol},
    {0xE0020, 0xE007F, kModifier},
};

char shape_of(uint32_t code) {
  if (is_space(code)) return ' ';
  if (code >= 'A' && code <= 'Z') return static_cast<char>(code + 32);
  if (code == '`') return '\'';
  if (code < 0x80) return static_cast<char>(code);
  const auto* kind = std::ranges::find_if(
      kKinds, [code](const Kind& k) { return k.first <= code && code <= k.last; });
  return kind == std::end(kKinds) ? kLetter : kind->shape;
}

}  // namespace

bool Shapes::is_capital(size_t at) const {
  const char c = line[from[at]];
  return c >= 'A' && c <= 'Z';
}

Shapes shapes_of(std::string_view line) {
  Shapes out{{}, line, {}};
  out.text.reserve(line.size());
  out.from.reserve(line.size() + 1);
  for (size_t at = 0; at < line.size();) {
    const size_t length = character_length(line, at);
    out.text += shape_of(code_point(line.substr(at, length)));
    out.from.push_back(at);
    at += length;
  }
  out.from.push_back(line.size());
  return out;
}

}  // namespace normlab::text
