#include <algorithm>

#include "models/text/contractions.h"
#include "models/text/shapes.h"
#include "models/text/tokens.h"
#include "models/text/whole.h"

// The cutter of raw text. It follows the English Web Treebank, release 2.16 of Universal
// Dependencies, whose sentences stand beside their raw text: rules were kept where they raised the
// agreement with its training part.

namespace normlab::text {
namespace {

using std::string_view;

/// Prefixes: one word with the word behind the hyphen, as "e-mail"; but "long - term".
constexpr string_view kPrefixes[] = {
    "a",     "ante",   "anti",   "arch",  "bi",    "bio",   "co",    "counter", "cross",
    "cyber", "de",     "e",      "eco",   "ex",    "extra", "hyper", "inter",   "intra",
    "kilo",  "macro",  "mega",   "meta",  "micro", "mid",   "mini",  "mis",     "mono",
    "multi", "neo",    "non",    "over",  "pan",   "para",  "post",  "pre",     "pro",
    "proto", "pseudo", "psycho", "quasi", "re",    "semi",  "socio", "sub",     "super",
    "trans", "tri",    "ultra",  "un",    "uni",   "under",
};
/// Words whose apostrophe begins them.
constexpr string_view kElided[] = {
    "'em",   "'n", "'til", "'till", "'cause", "'bout", "'round", "'tis",
    "'twas", "'s", "'re",  "'ve",   "'ll",    "'d",    "'m",
};

/// Days whose shortened names are words as well.
constexpr string_view kDays[] = {"mon",  "tue",   "tues", "wed", "thu",
                                 "thur", "thurs", "fri",  "sat", "sun"};

class Cutter {
 public:
  explicit Cutter(const Shapes& shapes) : shapes_(shapes), text_(shapes.text) {}

  std::vector<Token> cut() {
    while (at_ < text_.size()) {
      if (text_[at_] == ' ') {
        ++at_;
        continue;
      }
      chunk_end_ = std::min(text_.find(' ', at_), text_.size());
      while (at_ < chunk_end_) take();
    }
    return std::move(tokens_);
  }

 private:
  string_view rest() const { return text_.substr(at_, chunk_end_ - at_); }
  bool is_after_word() const { return at_ > 0 && is_alnum(text_[at_ - 1]); }

  void add(size_t length, bool is_joined = false) {
    const size_t begin = shapes_.from[at_], end = shapes_.from[at_ + length];
    at_ += length;
    const string_view bytes = shapes_.line.substr(begin, end - begin);
    if (bytes.find_first_not_of("\xC2\xAD") == string_view::npos) return;  // soft hyphens
    const bool touches = !tokens_.empty() && tokens_.back().begin + tokens_.back().size == begin;
    tokens_.push_back({begin, end - begin, is_joined && touches});
  }

  void take() {
    if (const size_t n = whole_length(); n > 0) return take_whole(n);
    if (is_alnum(text_[at_])) return take_word(word_length());
    if (const size_t n = elided_length(); n > 0) return take_word(n);
    take_mark();
  }

  size_t whole_length() const;
  size_t word_length() const;
  size_t elided_length() const;
  size_t mark_length() const;
  bool joins(size_t at) const;
  bool owns_period(size_t length) const;
  void take_whole(size_t length);
  void take_word(size_t length);
  void take_mark();

  const Shapes& shapes_;
  const string_view text_;
  size_t at_ = 0, chunk_end_ = 0;
  std::vector<Token> tokens_;
  bool quote_is_open_ = false;
};

size_t Cutter::whole_length() const {
  const string_view text = rest();
  if (is_after_word()) {
    // "see:)" smiles, "key:p" does not.
    const size_t n = emoticon_length(text);
    return n > 0 && (text[n - 1] == '(' || text[n - 1] == ')') ? n : 0;
  }
  for (const auto length : {url_length, address_length, tag_length, file_length, emoticon_length,
                            number_length, currency_length, bracket_length, initials_length})
    if (const size_t n = length(text)) return n;
  return 0;
}

/// True if the mark at `at` is within a word.
bool Cutter::joins(size_t at) const {
  if (text_[at] == kModifier || text_[at] == kGlue) return true;
  if (at + 1 >= chunk_end_) return false;
  const char before = text_[at - 1], mark = text_[at], after = text_[at + 1];
  if (mark == '_') return true;
  if (mark == '\'')
    return is_letter(after) && (is_letter(before) || (is_digit(before) && after == 's'));
  if (mark == '&') return is_letter(before) && is_letter(after);
  if (mark == '-') return is_alnum(after) && has(kPrefixes, text_.substr(at_, at - at_));
  if (mark == '.')
    return is_digit(before) ? is_digit(after)
                            : is_letter(before) && is_letter(after) && !shapes_.is_capital(at + 1);
  if (mark == '/')
    return is_letter(before) && is_letter(after) && at == at_ + 1 &&
           (at + 2 == chunk_end_ || !is_alnum(text_[at + 2]));
  return false;
}

size_t Cutter::word_length() const {
  size_t at = at_;
  while (at < chunk_end_ && (is_alnum(text_[at]) || (at > at_ && joins(at)))) ++at;
  if (at < chunk_end_ && text_[at] == '.' && owns_period(at - at_)) ++at;
  return at - at_;
}

bool Cutter::owns_period(size_t length) const {
  const string_view word = text_.substr(at_, length);
  const size_t next = text_.find_first_not_of(" \"')", at_ + length + 1);
  const bool is_last = next == string_view::npos;
  if (at_ + length + 1 < chunk_end_ && text_[at_ + length + 1] == '.') return false;  // dots
  if (length == 1 && shapes_.is_capital(at_)) return !is_last || word != "i";
  if (word == "etc") return !is_last;
  if (word == "no") return !is_last && is_digit(text_[next]);
  if (is_last || !shapes_.is_capital(at_)) return is_shortened(word);
  return is_shortened(word) || has(kDays, word);
}

/// 'em, '70s; 's after a space
size_t Cutter::elided_length() const {
  if (text_[at_] != '\'' || is_after_word()) return 0;
  const string_view text = rest();
  size_t n = 1;
  while (n < text.size() && is_alnum(text[n])) ++n;
  const string_view word = text.substr(0, n);
  const bool is_year =
      (n == 3 || (n == 4 && word[3] == 's')) && is_digit(word[1]) && is_digit(word[2]);
  if (text.starts_with("'n'")) return 3;
  return is_year || has(kElided, word) ? n : 0;
}

size_t Cutter::mark_length() const {
  const string_view text = rest();
  const char c = text[0];
  size_t n = 1;
  if (c == '!' || c == '?') {
    while (n < text.size() && (text[n] == '!' || text[n] == '?')) ++n;
  } else if (c == kFlag) {
    if (n < text.size() && text[n] == kFlag) ++n;
  } else if (string_view(".-*=_~+<>#'$/\\").find(c) != string_view::npos) {
    while (n < text.size() && text[n] == c) ++n;
  }
  for (; n < text.size() && (text[n] == kModifier || text[n] == kGlue); ++n)
    if (text[n] == kGlue && n + 1 < text.size() && text[n + 1] == kSymbol) ++n;
  return n;
}

/// With the clitic that follows: "a.com" "'s".
void Cutter::take_whole(size_t length) {
  const bool is_word = is_alnum(text_[at_]);
  add(length);
  const size_t n = clitic_length(rest());
  if (is_word && n > 0) add(n, true);
}

void Cutter::take_mark() {
  if (text_[at_] == '\'') quote_is_open_ = !is_after_word();
  add(mark_length());
}

/// Adds the words that a token consists of.
void Cutter::take_word(size_t length) {
  const std::vector<size_t> words = words_in(text_.substr(at_, length));
  for (size_t i = 0; i < words.size(); ++i) add(words[i], i > 0);
  if (const size_t n = clitic_length(rest()); n > 0) add(n, true);  // behind a period
  const bool is_possessive = at_ < chunk_end_ && text_[at_] == '\'' && text_[at_ - 1] == 's' &&
                             !quote_is_open_ && (at_ + 1 == chunk_end_ || text_[at_ + 1] != '\'');
  if (is_possessive) add(1, true);
}

}  // namespace

std::vector<Token> tokens_of(string_view line) {
  const Shapes shapes = shapes_of(line);
  return Cutter(shapes).cut();
}

}  // namespace normlab::text
