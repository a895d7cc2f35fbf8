#include "models/parse/recognize.h"

#include <algorithm>

#include "models/parse/conllu.h"
#include "models/text/shapes.h"

namespace normlab::parse {
namespace {

using std::string_view;
using text::is_digit;

constexpr size_t kMostHeld = 1000;  // lines
constexpr string_view kAsciiSpaces = " \t\n\r\f\v";

/// Removes the beginning whose characters fit; false if there is none.
template <class Fits>
bool take_while(string_view& text, const Fits& fits) {
  const auto end = std::ranges::find_if_not(text, fits);
  const auto n = static_cast<size_t>(end - text.begin());
  text.remove_prefix(n);
  return n > 0;
}

bool take_spaces(string_view& text) {
  return take_while(text, [](char c) { return kAsciiSpaces.find(c) != string_view::npos; });
}

/// A comment that text does not have: "# newdoc", "# sent_id = 1".
bool is_treebank_comment(string_view line) {
  if (!line.starts_with('#')) return false;
  line.remove_prefix(1);
  take_spaces(line);
  for (const string_view name : {"newdoc", "newpar", "global.columns"})
    if (line.starts_with(name)) return true;
  const bool has_key = take_while(line, [](char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           string_view("_.:-").find(c) != string_view::npos;
  });
  take_spaces(line);
  return has_key && line.starts_with('=');
}

}  // namespace

bool has_word_number(string_view line) {
  if (!take_while(line, is_digit)) return false;
  if (line.starts_with('-') || line.starts_with('.')) {
    line.remove_prefix(1);
    if (!take_while(line, is_digit)) return false;
  }
  return line.starts_with('\t');
}

size_t columns_of(string_view line) {
  return static_cast<size_t>(std::ranges::count(line, '\t')) + 1;
}

Beginning beginning_of(text::Lines& lines, const std::function<bool()>& is_ready) {
  Beginning found{{}, false};
  bool is_treebank = false;
  for (std::string line; found.lines.size() <= kMostHeld && lines.next(line);) {
    text::trim_line(line, found.lines.empty());
    found.lines.push_back(line);
    if (found.lines.size() > kMostHeld) break;
    // Even if it is broken: the reader says so.
    found.is_conllu = has_word_number(line) && (is_treebank || columns_of(line) == kColumns);
    if (found.is_conllu) break;
    const bool is_blank = line.find_first_not_of(kAsciiSpaces) == std::string::npos;
    if (is_treebank_comment(line))
      is_treebank = true;
    else if (!is_blank && !(line.starts_with('#') && (lines.has_line() || is_ready())))
      break;
  }
  return found;
}

}  // namespace normlab::parse
