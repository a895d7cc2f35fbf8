#include "models/parse/names.h"

#include <algorithm>

#include "core/json.h"
#include "models/text/characters.h"
#include "models/text/shapes.h"

namespace normlab::parse {
namespace {

using std::string_view;

// --- characters -------------------------------------------------------------------------------

/// Of the character at text[at], whatever its bytes are.
uint32_t code_at(string_view text, size_t at, size_t length) {
  return length == 1 ? static_cast<unsigned char>(text[at])
                     : text::code_point(text.substr(at, length));
}

/// True if a column of a file can hold the text.
bool fits_a_column(string_view text) {
  return !text.empty() && is_utf8(text) &&
         text.find_first_of(string_view("\t\n\r\0", 4)) == string_view::npos;
}

}  // namespace

size_t character_at(string_view text, size_t at) {
  return std::max<size_t>(utf8_length(text, at), 1);
}

std::string spelled(string_view form, bool lower_case, bool digits) {
  std::string out(form);
  for (size_t at = 0; at < out.size();) {
    const size_t length = character_at(out, at);
    if (digits && text::is_digit(out[at])) out[at] = '0';
    if (lower_case && length <= 3) {
      const uint32_t code = code_at(out, at, length);
      if (const uint32_t small = text::lower(code); small != code) {
        std::string letter;
        if (length == 1)
          letter = static_cast<char>(small);
        else
          append_utf8(letter, small);
        out.replace(at, length, letter);
      }
    }
    at += length;
  }
  return out;
}

CharacterKind kind_of(string_view text, size_t at) {
  const uint32_t code = code_at(text, at, character_at(text, at));
  if (code >= '0' && code <= '9') return CharacterKind::digit;
  if (text::lower(code) != code) return CharacterKind::capital;
  const bool is_letter = code < 0x80 ? code >= 'a' && code <= 'z'
                                     : code >= 0xC0 && code != 0xD7 && code != 0xF7 &&
                                           (code < 0x2000 || code > 0x206F) &&
                                           (code < 0x3000 || code > 0x303F);
  return is_letter ? CharacterKind::small : CharacterKind::mark;
}

// --- lists ------------------------------------------------------------------------------------

NameList::NameList(const char* what, std::vector<std::string> entries)
    : entries_(std::move(entries)) {
  check<ArgumentError>(entries_.size() <= INT32_MAX / 8, "Vocabulary", "too many ", what, "s");
  for (int32_t i = 0; i < size(); ++i) {
    if (!fits_a_column(entries_[i]))
      fail<ArgumentError>("Vocabulary", what, " ", i,
                          " must be UTF-8 text without tabs and line breaks, is ",
                          json_excerpt(entries_[i]));
    const auto [place, fresh] = numbers_.emplace(entries_[i], i);
    if (!fresh)
      fail<ArgumentError>("Vocabulary", "each ", what, " must come once, ",
                          json_excerpt(entries_[i]), " is number ", place->second, " and ", i);
  }
}

int32_t NameList::number(string_view entry) const {
  const auto place = numbers_.find(entry);
  return place == numbers_.end() ? kNone : place->second;
}

}  // namespace normlab::parse
