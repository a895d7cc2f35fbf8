#include "normlab/parse/reader.h"

#include <algorithm>
#include <fstream>
#include <optional>

#include "core/file.h"
#include "core/json.h"
#include "models/parse/conllu.h"
#include "models/parse/raw_text.h"
#include "models/parse/trees.h"
#include "normlab/parse/stream.h"

namespace normlab::parse {
namespace {

using std::string_view;

constexpr string_view kNames[][kColumns] = {
    {"ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC"},
    {"ID", "FORM", "LEMMA", "CPOSTAG", "POSTAG", "FEATS", "HEAD", "DEPREL", "PHEAD", "PDEPREL"},
};

string_view name_of(Format format, size_t column) {
  return kNames[static_cast<size_t>(format)][column];
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

/// 1,048,576
std::string grouped(int64_t n) {
  std::string digits = std::to_string(n);
  for (size_t at = digits.size(); at > 3;) digits.insert(at -= 3, ",");
  return digits;
}

Reader::Lines lines_of(const TextSource& source) {
  return [lines = text::Lines(source.read)](std::string& line) mutable { return lines.next(line); };
}

}  // namespace

Reader::Reader(Lines lines, std::string name, const ReadOptions& options)
    : lines_(std::move(lines)), name_(std::move(name)), options_(options) {}

Reader::Reader(std::istream& in, std::string name, const ReadOptions& options)
    : Reader(lines_of(source_of(in, name)), name, options) {}

template <class... Parts>
void Reader::refuse(int64_t line, const Parts&... parts) {
  has_refused_ = true;
  if (has_columns()) fail<FileError>("read_conllu", shown(name_), ", line ", line, ": ", parts...);
  fail<FileError>((name_ + ", line " + std::to_string(line)).c_str(), parts...);
}

bool Reader::pull_line() {
  if (!lines_(line_)) return false;
  ++number_;
  text::trim_line(line_, number_ == 1);
  // Spreadsheets and editors leave such lines between sentences.
  const bool is_cut = line_.size() > kMaxLineBytes;
  if (!is_cut && line_.find_first_not_of(" \t") == std::string::npos) line_.clear();
  return true;
}

bool Reader::take_line() {
  if (!pull_line()) return false;
  if (line_.size() > kMaxLineBytes && has_columns())
    refuse(number_, "must have at most ", kMaxLineBytes, " bytes, has more");
  if (line_.size() > kMaxLineBytes)
    refuse(number_, "must have at most ", grouped(kMaxLineBytes), " bytes");
  const std::string fault = has_columns() ? text_fault(line_) : raw_text_fault(line_);
  if (!fault.empty()) refuse(number_, fault);
  return true;
}

bool Reader::next(Sentence& sentence) {
  if (ended_) return false;
  ended_ = true;  // for as long as something is wrong
  return has_columns() ? next_block(sentence) : next_line(sentence);
}

bool Reader::next_line(Sentence& sentence) {
  do
    if (!take_line()) return false;
  while (!has_words(line_));
  sentence = options_.format == Format::raw ? sentence_of(line_) : tokenized_sentence(line_);
  // As CoNLL-U, it must be one that can be read again.
  const int64_t most = kMaxSentenceLines - static_cast<int64_t>(1 + sentence.extras.size());
  const auto n = static_cast<int64_t>(sentence.words.size());
  if (n > most) refuse(number_, "must have at most ", grouped(most), " words, has ", grouped(n));
  ended_ = false;
  return true;
}

bool Reader::next_block(Sentence& sentence) {
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
  while (has_columns() && more && !line_.empty()) more = pull_line();
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
  Columns columns;
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

}  // namespace normlab::parse
