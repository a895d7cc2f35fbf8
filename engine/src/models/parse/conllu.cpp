#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <istream>
#include <optional>

#include "core/file.h"
#include "core/json.h"
#include "models/parse/trees.h"
#include "models/text/characters.h"

namespace normlab::parse {
namespace {

using std::string_view;

constexpr size_t kColumns = 10;
constexpr string_view kNames[][kColumns] = {
    {"ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC"},
    {"ID", "FORM", "LEMMA", "CPOSTAG", "POSTAG", "FEATS", "HEAD", "DEPREL", "PHEAD", "PDEPREL"},
};

string_view name_of(Format format, size_t column) {
  return kNames[static_cast<size_t>(format)][column];
}

/// Why a line is no text, "" if it is.
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

/// Cuts at tabs; the first ten columns are kept, all are counted.
size_t split(string_view line, std::array<string_view, kColumns>& columns) {
  size_t count = 0;
  for (size_t at = 0;; ++count) {
    const size_t end = std::min(line.find('\t', at), line.size());
    if (count < kColumns) columns[count] = line.substr(at, end - at);
    if (end == line.size()) return count + 1;
    at = end + 1;
  }
}

bool is_blank(string_view text) {
  for (size_t at = 0; at < text.size();) {
    const size_t length = utf8_length(text, at);
    if (!text::is_space(text::code_point(text.substr(at, length)))) return false;
    at += length;
  }
  return true;
}

/// A number from 0 to 999,999,999 as it is written, without sign or leading zeros.
std::optional<int32_t> number_from(string_view text) {
  if (text.empty() || text.size() > 9 || (text[0] == '0' && text.size() > 1)) return std::nullopt;
  int32_t number = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    number = number * 10 + (c - '0');
  }
  return number;
}

/// Two numbers with a mark between them.
std::optional<std::pair<int32_t, int32_t>> numbers_from(string_view text, size_t mark) {
  const std::optional<int32_t> first = number_from(text.substr(0, mark)),
                               second = number_from(text.substr(mark + 1));
  if (!first || !second) return std::nullopt;
  return std::pair{*first, *second};
}

/// Takes lines as they come; of one that is too long, as much as shows it. What is left of that is
/// passed over when the next one is asked for.
class StreamLines {
 public:
  explicit StreamLines(std::streambuf& in) : in_(&in) {}
  bool operator()(std::string& line) {
    line.clear();
    for (int c = take(); c != kEnd; c = take()) {
      if (c == '\n' && !is_cut_) return true;
      if (c == '\n') {
        is_cut_ = false;
      } else if (!is_cut_) {
        line += static_cast<char>(c);
        is_cut_ = line.size() > kMaxLineBytes + 1;
        if (is_cut_) return true;
      }
    }
    return !line.empty();
  }

 private:
  static constexpr int kEnd = std::char_traits<char>::eof();
  int take() { return in_->sbumpc(); }

  std::streambuf* in_;
  bool is_cut_ = false;
};

Reader::Lines lines_of(std::istream& in, const std::string& name) {
  check<FileError>(in.rdbuf() != nullptr && !in.fail(), "read_conllu", shown(name),
                   ": the stream cannot be read");
  return [from = StreamLines(*in.rdbuf()), name](std::string& line) mutable {
    try {
      return from(line);
    } catch (const std::ios_base::failure& error) {
      fail<FileError>("read_conllu", shown(name), ": the stream cannot be read: ", error.what());
    }
  };
}

}  // namespace

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

// --- reading ----------------------------------------------------------------------------------

Reader::Reader(Lines lines, std::string name, const ReadOptions& options)
    : lines_(std::move(lines)), name_(std::move(name)), options_(options) {}

Reader::Reader(std::istream& in, std::string name, const ReadOptions& options)
    : Reader(lines_of(in, name), name, options) {}

template <class... Parts>
void Reader::refuse(int64_t line, const Parts&... parts) {
  has_refused_ = true;
  fail<FileError>("read_conllu", shown(name_), ", line ", line, ": ", parts...);
}

bool Reader::pull_line() {
  if (!lines_(line_)) return false;
  ++number_;
  if (line_.ends_with('\r')) line_.pop_back();
  if (number_ == 1 && line_.starts_with("\xEF\xBB\xBF")) line_.erase(0, 3);
  // Spreadsheets and editors leave such lines between sentences.
  const bool is_cut = line_.size() > kMaxLineBytes;
  if (!is_cut && line_.find_first_not_of(" \t") == std::string::npos) line_.clear();
  return true;
}

bool Reader::take_line() {
  if (!pull_line()) return false;
  if (line_.size() > kMaxLineBytes)
    refuse(number_, "must have at most ", kMaxLineBytes, " bytes, has more");
  if (const std::string fault = text_fault(line_); !fault.empty()) refuse(number_, fault);
  return true;
}

bool Reader::next(Sentence& sentence) {
  if (ended_) return false;
  ended_ = true;  // for as long as something is wrong
  sentence.comments.clear();
  sentence.extras.clear();
  places_.clear();
  bytes_ = 0;
  range_end_ = empty_nodes_ = 0;
  size_t words = 0;
  bool more = take_line();
  while (more && line_.empty()) more = take_line();
  if (!more) return false;
  for (first_line_ = number_; more && !line_.empty(); more = take_line()) add_line(sentence, words);
  sentence.words.resize(words);
  finish(sentence);
  ended_ = !more;
  return true;
}

bool Reader::skip() {
  if (!has_refused_) return false;
  has_refused_ = false;
  bool more = true;
  while (more && !line_.empty()) more = pull_line();
  ended_ = !more;
  return true;
}

void Reader::add_line(Sentence& sentence, size_t& words) {
  bytes_ += line_.size();
  if (bytes_ > kMaxSentenceBytes || number_ - first_line_ >= kMaxSentenceLines)
    refuse(number_, "a sentence must have at most ", kMaxSentenceLines, " lines and ",
           kMaxSentenceBytes, " bytes, this has more");
  if (line_[0] == '#') {
    if (words > 0 || !sentence.extras.empty())
      refuse(number_, "a comment must come before the words of its sentence");
    sentence.comments.push_back(line_);
    return;
  }
  std::array<string_view, kColumns> columns;
  const size_t count = split(line_, columns);
  if (count != kColumns)
    refuse(number_, "must have ", kColumns, " columns divided by tabs, has ", count);
  for (size_t i = 0; i < kColumns; ++i)
    if (columns[i].empty()) refuse(number_, name_of(options_.format, i), " must not be empty");
  if (is_blank(columns[1])) refuse(number_, "FORM must not be only white space");
  const bool is_extra = columns[0].find_first_of("-.") != string_view::npos;
  if (is_extra && options_.format == Format::conllu) {
    add_extra(columns[0], sentence);
    return;
  }
  // The words of the sentence before are written over: their strings have memory.
  if (words == sentence.words.size()) sentence.words.emplace_back();
  add_word(columns.data(), sentence.words[words++]);
}

void Reader::add_word(const string_view* columns, Word& word) {
  places_.push_back(number_);
  empty_nodes_ = 0;
  const auto id = static_cast<int32_t>(places_.size());
  if (number_from(columns[0]) != id)
    refuse(number_, "ID must be ", id, ", is ", json_excerpt(columns[0]));
  const std::optional<int32_t> head = number_from(columns[6]);
  const bool any = options_.heads == Heads::any;
  if (!head && !(any && columns[6] == "_"))
    refuse(number_, "HEAD must be a whole number", any ? " or _" : "", ", is ",
           json_excerpt(columns[6]));
  word.head = head.value_or(kNone);
  word.form.assign(columns[1]);
  word.lemma.assign(columns[2]);
  word.upos.assign(columns[3]);
  word.xpos.assign(columns[4]);
  word.feats.assign(columns[5]);
  word.deprel.assign(columns[7]);
  word.deps.assign(columns[8]);
  word.misc.assign(columns[9]);
}

void Reader::add_extra(string_view id, Sentence& sentence) {
  const auto last = static_cast<int32_t>(places_.size());  // number of the word before
  const size_t mark = id.find_first_of("-.");
  const auto numbers = numbers_from(id, mark);
  if (id[mark] == '-') {
    if (!numbers || numbers->first != last + 1 || numbers->second <= last)
      refuse(number_, "ID of a multi-word token must be ", last + 1, "- and its last word, is ",
             json_excerpt(id));
    if (last < range_end_)
      refuse(number_, "a multi-word token must not begin within another, which goes on to word ",
             range_end_);
    range_end_ = numbers->second;
    range_line_ = number_;
  } else {
    if (numbers != std::pair{last, empty_nodes_ + 1})
      refuse(number_, "ID of an empty node must be ", last, ".", empty_nodes_ + 1, " here, is ",
             json_excerpt(id));
    ++empty_nodes_;
  }
  sentence.extras.push_back({last, line_});
}

void Reader::finish(const Sentence& sentence) {
  const size_t n = sentence.words.size();
  if (n == 0) refuse(first_line_, "a sentence must have words");
  if (range_end_ > static_cast<int32_t>(n))
    refuse(range_line_, "a multi-word token must end with a word of its sentence, which has ", n);
  heads_.assign(1, kNone);
  for (const Word& word : sentence.words) heads_.push_back(word.head);
  if (const std::optional<Fault> fault = fault_of(heads_, options_.heads))
    refuse(places_[static_cast<size_t>(fault->word) - 1], "word ", fault->word, ": ", fault->what);
}

std::vector<Sentence> read_conllu(const std::string& path, const ReadOptions& options) {
  { const InputFile is_readable("read_conllu", path); }
  std::ifstream in(path, std::ios::binary);
  Reader reader(in, path, options);
  std::vector<Sentence> sentences;
  // Read into one sentence and copied, each takes only the memory it needs.
  for (Sentence sentence; reader.next(sentence);) sentences.push_back(sentence);
  return sentences;
}

// --- writing ----------------------------------------------------------------------------------

namespace {

/// Appends a line. ArgumentError unless it is one that can be read again.
void append_line(std::string& out, string_view line, bool has_columns, const char* what,
                 size_t number) {
  std::string fault = text_fault(line);
  if (fault.empty() && has_columns) {
    std::array<string_view, kColumns> columns;
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
