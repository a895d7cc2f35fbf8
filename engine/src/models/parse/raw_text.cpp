#include "models/parse/raw_text.h"

#include <algorithm>

#include "models/text/characters.h"
#include "models/text/tokens.h"
#include "normlab/error.h"
#include "normlab/parse/reader.h"

namespace normlab::parse {
namespace {

using std::string_view;

/// The line of a multi-word token: its words are those from `first` to `last`.
Extra multi_word_token(size_t first, size_t last, string_view form, bool has_space_after) {
  std::string line = std::to_string(first) + "-" + std::to_string(last);
  (line += '\t') += form;
  line += "\t_\t_\t_\t_\t_\t_\t_\t";
  line += has_space_after ? "_" : "SpaceAfter=No";
  return {static_cast<int32_t>(first - 1), std::move(line)};
}

std::string text_comment(string_view line, size_t begin, size_t end) {
  std::string text(line.substr(begin, end - begin));
  // A comment cannot hold control characters; tokens have none.
  std::ranges::replace_if(
      text, [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
  return "# text = " + text;
}

constexpr uint32_t kSoftHyphen = 0xAD;

}  // namespace

std::string raw_text_fault(string_view line) {
  for (size_t at = 0, length = 0; at < line.size(); at += length) {
    length = utf8_length(line, at);
    if (length == 0) return "must be UTF-8, at byte " + std::to_string(at) + " it is not";
  }
  const size_t nul = line.find('\0');
  return nul == string_view::npos ? "" : "byte " + std::to_string(nul) + " is NUL";
}

bool has_words(string_view line) {
  bool found = false;
  text::for_characters(line, [&](uint32_t code, size_t, size_t) {
    found = found || !(text::is_space(code) || code == kSoftHyphen);
  });
  return found;
}

Sentence tokenized_sentence(string_view line) {
  Sentence sentence{{"# text ="}, {}, {}};
  bool is_in_word = false;
  text::for_characters(line, [&](uint32_t code, size_t at, size_t length) {
    if (text::is_space(code)) {
      is_in_word = false;
      return;
    }
    if (!is_in_word) sentence.words.emplace_back();
    sentence.words.back().form += line.substr(at, length);
    is_in_word = true;
  });
  for (const Word& word : sentence.words) (sentence.comments[0] += ' ') += word.form;
  return sentence;
}

Sentence sentence_of(string_view line) {
  const std::vector<text::Token> tokens = text::tokens_of(line);
  check<ArgumentError>(!tokens.empty(), "sentence_of", "the line must have words");
  const auto end_of = [&](size_t i) { return tokens[i].begin + tokens[i].size; };
  Sentence sentence;
  sentence.comments.push_back(text_comment(line, tokens[0].begin, end_of(tokens.size() - 1)));
  for (size_t i = 0; i < tokens.size();) {
    size_t end = i + 1;
    while (end < tokens.size() && tokens[end].is_joined) ++end;
    const bool has_space_after = end == tokens.size() || end_of(end - 1) != tokens[end].begin;
    const bool is_multi_word = end > i + 1;
    if (is_multi_word)
      sentence.extras.push_back(multi_word_token(
          i + 1, end, line.substr(tokens[i].begin, end_of(end - 1) - tokens[i].begin),
          has_space_after));
    for (; i < end; ++i) {
      Word word{.form = std::string(line.substr(tokens[i].begin, tokens[i].size))};
      if (!is_multi_word && !has_space_after) word.misc = "SpaceAfter=No";
      sentence.words.push_back(std::move(word));
    }
  }
  return sentence;
}

}  // namespace normlab::parse
