#include "models/parse/conllu.h"

#include <algorithm>

#include "core/file.h"
#include "core/json.h"
#include "models/text/characters.h"
#include "normlab/parse/reader.h"

namespace normlab::parse {

using std::string_view;

std::string text_fault(string_view line) {
  if (line.starts_with("\x1f\x8b")) return "is packed with gzip; unpack it";
  for (size_t at = 0; at < line.size();) {
    const char c = line[at];
    if (c == '\0' || c == '\r' || c == '\n')
      return "byte " + std::to_string(at) + " is " +
             (c == '\0' ? "NUL" : "a line break inside the line");
    const bool is_ascii = static_cast<unsigned char>(c) < 0x80;
    const size_t length = is_ascii ? 1 : utf8_length(line, at);
    if (length == 0) return "must be UTF-8, at byte " + std::to_string(at) + " it is not";
    at += length;
  }
  return "";
}

size_t split(string_view line, Columns& columns) {
  size_t count = 0;
  for (size_t at = 0;; ++count) {
    const size_t end = std::min(line.find('\t', at), line.size());
    if (count < kColumns) columns[count] = line.substr(at, end - at);
    if (end == line.size()) return count + 1;
    at = end + 1;
  }
}

bool is_blank(string_view text) {
  bool found = true;
  text::for_characters(
      text, [&](uint32_t code, size_t, size_t) { found = found && text::is_space(code); });
  return found;
}

string_view Sentence::note(string_view key) const {
  for (string_view comment : comments) {
    const size_t mark = comment.find('=');
    if (mark == string_view::npos) continue;
    const auto trimmed = [](string_view text) {
      const size_t from = std::min(text.find_first_not_of(' '), text.size());
      return text.substr(from, text.find_last_not_of(' ') + 1 - from);
    };
    if (trimmed(comment.substr(1, mark - 1)) == key) return trimmed(comment.substr(mark + 1));
  }
  return {};
}

// --- writing ----------------------------------------------------------------------------------

namespace {

/// Appends a line. ArgumentError unless it is one that can be read again.
void append_line(std::string& out, string_view line, bool has_columns, const char* what,
                 size_t number) {
  std::string fault = text_fault(line);
  if (fault.empty() && has_columns) {
    Columns columns;
    const size_t count = split(line, columns);
    if (count != kColumns)
      fault = "must have 10 columns divided by tabs, has " + std::to_string(count);
    else if (std::ranges::any_of(columns, &string_view::empty) || is_blank(columns[1]))
      fault = "has an empty column";
  }
  check<ArgumentError>(fault.empty(), "to_conllu", what, " ", number, ": ", fault);
  (out += line) += '\n';
}

void write_word(std::string& line, const Word& word, size_t number) {
  line = std::to_string(number);
  for (const std::string* field : {&word.form, &word.lemma, &word.upos, &word.xpos, &word.feats})
    (line += '\t') += *field;
  line += '\t';
  if (word.head == kNone)
    line += '_';
  else
    line += std::to_string(word.head);
  for (const std::string* field : {&word.deprel, &word.deps, &word.misc}) (line += '\t') += *field;
}

}  // namespace

std::string to_conllu(const Sentence& sentence) {
  const size_t n = sentence.words.size();
  check<ArgumentError>(n > 0, "to_conllu", "a sentence must have words");
  std::string out, line;
  for (size_t i = 0; i < sentence.comments.size(); ++i) {
    check<ArgumentError>(sentence.comments[i].starts_with('#'), "to_conllu", "comment ", i + 1,
                         ": must begin with #");
    append_line(out, sentence.comments[i], false, "comment", i + 1);
  }
  size_t extra = 0;
  for (size_t w = 0; w <= n; ++w) {
    if (w > 0) {
      write_word(line, sentence.words[w - 1], w);
      append_line(out, line, true, "word", w);
    }
    for (; extra < sentence.extras.size() && sentence.extras[extra].after == static_cast<int>(w);
         ++extra)
      append_line(out, sentence.extras[extra].line, true, "extra line", extra + 1);
  }
  check<ArgumentError>(extra == sentence.extras.size(), "to_conllu", "extra line ", extra + 1,
                       ": must follow a word, and the extra lines before it");
  return out += '\n';
}

void write_conllu(const std::string& path, const Sentences& sentences) {
  OutputFile file("write_conllu", path);
  for (size_t i = 0; i < sentences.size(); ++i) {
    const std::string text = to_conllu(sentences[i]);
    file.write(text.data(), static_cast<int64_t>(text.size()));
  }
  file.commit();
}

}  // namespace normlab::parse
