#include <algorithm>

#include "models/text/characters.h"
#include "models/text/shapes.h"
#include "normlab/text.h"

// A line is first spelled in plain characters, then cut at white space into chunks, and these into
// words. Each word is one that no rule cuts or respells any more, so that text which is cut
// already comes out as it went in.

namespace normlab::text {
namespace {

using std::string_view;

// --- characters -------------------------------------------------------------------------------

struct Spelling {
  uint32_t code;
  string_view plain;
};
constexpr Spelling kPlain[] = {
    {'[', "("},     {'{', "("},     {']', ")"},     {'}', ")"},      {'`', "'"},
    {0x00AB, "\""}, {0x00AD, ""},   {0x00B4, "'"},  {0x00BB, "\""},  {0x2010, "-"},
    {0x2011, "-"},  {0x2012, "--"}, {0x2013, "--"}, {0x2014, "--"},  {0x2015, "--"},
    {0x2018, "'"},  {0x2019, "'"},  {0x201A, "'"},  {0x201B, "'"},   {0x201C, "\""},
    {0x201D, "\""}, {0x201E, "\""}, {0x201F, "\""}, {0x2026, "..."}, {0x2212, "-"},
};

/// Letters beyond Latin-1 keep their case.
constexpr uint32_t kLastLowered = 0xFF;

void append_plain(std::string& out, string_view character) {
  const uint32_t code = code_point(character);
  const auto* spelling = std::ranges::find(kPlain, code, &Spelling::code);
  if (is_space(code)) {
    out += ' ';
  } else if (spelling != std::end(kPlain)) {
    out += spelling->plain;
  } else {
    out += character;
    if (code <= kLastLowered)  // in one or two bytes, only the last one differs
      out.back() = static_cast<char>(out.back() + (lower(code) - code));
  }
}

/// `` and '' as ", \/ and \* without the backslash.
std::string unescaped(string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t after = std::min(text.find_first_not_of('\\', at), text.size());
    if (text.substr(at, 2) == "''") {
      out += '"';
      at += 2;
    } else if (after == at) {
      out += text[at++];
    } else if (after < text.size() && (text[after] == '/' || text[after] == '*')) {
      out += text[after];
      at = after + 1;
    } else {
      out += text.substr(at, after - at);
      at = after;
    }
  }
  return out;
}

std::string plain(string_view line) {
  std::string out;
  for (size_t at = 0; at < line.size();) {
    const size_t length = character_length(line, at);
    append_plain(out, line.substr(at, length));
    at += length;
  }
  return unescaped(out);
}

// --- words ------------------------------------------------------------------------------------

/// Words whose apostrophe is no quotation mark.
constexpr string_view kWithApostrophe[] = {"'em", "'n'", "'n", "'til", "'tis", "'twas", "ol'"};
constexpr string_view kBrackets[][2] = {
    {"-lrb-", "("}, {"-lsb-", "("}, {"-lcb-", "("}, {"-rrb-", ")"}, {"-rsb-", ")"}, {"-rcb-", ")"},
};
constexpr string_view kMarksAnywhere = "()\";?!";
constexpr string_view kMarksOutside = "'.-*$#%&@=+<>/\\|~^_";

/// '70s, '02
bool is_year(string_view word) {
  if (word.ends_with('s')) word.remove_suffix(1);
  return word.size() == 3 && word[0] == '\'' && is_digit(word[1]) && is_digit(word[2]);
}

/// u.s., j.r.r.
bool is_abbreviation(string_view word) {
  if (word.size() < 4 || word.size() % 2 != 0) return false;
  for (size_t i = word.size(); i > 0; i -= 2)
    if (word[i - 1] != '.' || word[i - 2] < 'a' || word[i - 2] > 'z') return false;
  return true;
}

/// The treebank's name of a bracket or nullptr.
const string_view* bracket_named(string_view word) {
  for (const auto& bracket : kBrackets)
    if (bracket[0] == word) return &bracket[1];
  return nullptr;
}

/// True for a word of which no mark or clitic is cut off.
bool is_whole(string_view word) {
  return bracket_named(word) != nullptr || has(kClitics, word) || has(kWithApostrophe, word) ||
         is_year(word) || is_abbreviation(word);
}

/// Length of the mark or clitic that ends the word, 0 if none does.
size_t tail_of(string_view word) {
  if (kMarksOutside.find(word.back()) != string_view::npos) return 1;
  for (const string_view clitic : kClitics)
    if (word.ends_with(clitic)) return clitic.size();
  return 0;
}

bool has_head(string_view word) {
  const bool number = (word[0] == '.' || word[0] == '-') && word.size() > 1 && is_digit(word[1]);
  return !number && kMarksOutside.find(word[0]) != string_view::npos;
}

/// The form of a word: brackets as their marks, dashes and dots in one form.
string_view form_of(string_view word, bool is_mark) {
  if (is_mark && word[0] == '-') return "--";
  if (is_mark && word[0] == '.' && word.size() > 1) return "...";
  const string_view* bracket = is_mark ? nullptr : bracket_named(word);
  return bracket ? *bracket : word;
}

/// A word of the plain text, where it stands there.
struct Piece {
  string_view text;
  bool is_mark;
};

/// Cuts off the marks and clitics around a word.
void cut_outside(string_view word, std::vector<Piece>& pieces) {
  std::vector<Piece> tails;
  while (!word.empty() && !is_whole(word)) {
    if (const size_t tail = tail_of(word); tail > 0) {
      tails.push_back({word.substr(word.size() - tail), true});
      word.remove_suffix(tail);
    } else if (has_head(word)) {
      pieces.push_back({word.substr(0, 1), true});
      word.remove_prefix(1);
    } else {
      break;
    }
  }
  if (!word.empty()) pieces.push_back({word, false});
  pieces.insert(pieces.end(), tails.rbegin(), tails.rend());
}

/// Length of the mark at chunk[at] that parts words, 0 if there is none: dots and dashes in a row,
/// and commas and colons but between digits.
size_t parting_mark(string_view chunk, size_t at) {
  const char c = chunk[at];
  if (kMarksAnywhere.find(c) != string_view::npos) return 1;
  if (c == '.' || c == '-') {
    const size_t n = std::min(chunk.find_first_not_of(c, at), chunk.size()) - at;
    return n > 1 ? n : 0;
  }
  if (c != ',' && c != ':') return 0;
  const bool between =
      at > 0 && is_digit(chunk[at - 1]) && at + 1 < chunk.size() && is_digit(chunk[at + 1]);
  return between ? 0 : 1;
}

void cut(string_view chunk, std::vector<Piece>& pieces) {
  size_t begin = 0;
  for (size_t at = 0; at < chunk.size();) {
    const size_t length = parting_mark(chunk, at);
    if (length == 0) {
      ++at;
      continue;
    }
    cut_outside(chunk.substr(begin, at - begin), pieces);
    pieces.push_back({chunk.substr(at, length), true});
    begin = at += length;
  }
  cut_outside(chunk.substr(begin), pieces);
}

std::vector<Piece> pieces_of(string_view text) {
  std::vector<Piece> pieces;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(' ', at), text.size());
    cut(text.substr(at, end - at), pieces);
    at = end + 1;
  }
  return pieces;
}

/// ". . ." as "...": treebanks part these dots or not.
std::vector<std::string> with_ellipses(std::vector<std::string> words) {
  std::vector<std::string> out;
  for (size_t at = 0; at < words.size();) {
    size_t end = at;
    while (end < words.size() && words[end] == ".") ++end;
    if (end - at >= 3) {
      out.emplace_back("...");
      at = end;
    } else {
      out.push_back(std::move(words[at++]));
    }
  }
  return out;
}

}  // namespace

std::vector<std::string> tokenize(string_view line) {
  const std::string spelled = plain(line);
  std::vector<std::string> words;
  for (const Piece& piece : pieces_of(spelled))
    words.emplace_back(form_of(piece.text, piece.is_mark));
  return with_ellipses(std::move(words));
}

}  // namespace normlab::text
