#include "normlab/parse/stream.h"

#include <algorithm>
#include <istream>

#include "core/file.h"
#include "models/parse/recognize.h"

namespace normlab::parse {
namespace {

using std::string_view;

constexpr std::streamsize kMostChunk = 1 << 16;  // bytes
// A batch: enough for all cores, little memory.
constexpr size_t kMostSentences = 1024;
constexpr size_t kMostWords = 1 << 15;
// Columns of a word in any of CoNLL's formats, at least.
constexpr size_t kFewestColumns = 8;

bool skips(const TreeSink& sink, const std::string& error) {
  return sink.skips && sink.skips(error);
}

/// Parses sentences and writes their trees, many at once.
class TreeWriter {
 public:
  TreeWriter(const Parser& parser, const TreeSink& sink) : parser_(parser), sink_(sink) {}

  /// Takes a sentence; `place` is its name in errors.
  void add(std::string place, const Sentence& sentence) {
    places_.push_back(std::move(place));
    sentences_.push_back(sentence);
    words_ += sentence.words.size();
    if (sentences_.size() >= kMostSentences || words_ >= kMostWords) flush();
  }
  /// Writes the trees of all sentences added. After an error, those before it are written.
  void flush();
  int64_t written() const { return written_; }

 private:
  void write(std::span<Sentence> sentences);
  void write_one(const std::string& place, Sentence& sentence);

  const Parser& parser_;
  const TreeSink& sink_;
  std::vector<std::string> places_;
  std::vector<Sentence> sentences_;
  size_t words_ = 0;
  int64_t written_ = 0;
};

void TreeWriter::flush() {
  if (sentences_.empty()) return;
  const std::vector<std::string> places = std::exchange(places_, {});
  std::vector<Sentence> sentences = std::exchange(sentences_, {});
  words_ = 0;
  try {
    return write(sentences);
  } catch (const ArgumentError&) {
  } catch (const OutOfMemoryError&) {
  }
  for (size_t i = 0; i < sentences.size(); ++i) write_one(places[i], sentences[i]);
}

void TreeWriter::write(std::span<Sentence> sentences) {
  parser_.parse(sentences);
  std::string trees;
  for (const Sentence& sentence : sentences) trees += to_conllu(sentence);
  sink_.write(trees);
  written_ += static_cast<int64_t>(sentences.size());
}

void TreeWriter::write_one(const std::string& place, Sentence& sentence) {
  try {
    write(std::span(&sentence, 1));
  } catch (const ArgumentError& error) {
    const std::string message = place + ": " + error.what();
    if (!skips(sink_, message)) throw ArgumentError(message);
  } catch (const OutOfMemoryError& error) {
    throw OutOfMemoryError(place + ": " + error.what());
  }
}

/// ArgumentError for a line of text that seems to be a word of CoNLL.
void check_is_text(const std::string& name, size_t number, string_view line) {
  const size_t columns = columns_of(line);
  if (columns < kFewestColumns || !has_word_number(line)) return;
  fail<ArgumentError>((name + ", line " + std::to_string(number)).c_str(), "has a number and ",
                      columns,
                      " columns, as a word of CoNLL has them; say --conllu if it is CoNLL-U ",
                      "(ten columns), --raw if it is text");
}

void remove_tags(Sentence& sentence) {
  for (Word& word : sentence.words) word.upos = word.xpos = "_";
}

/// Reads the next sentence and passes over those that are refused; false after the last one.
bool read_next(Reader& reader, Sentence& sentence, const TreeSink& sink, int64_t& number) {
  while (true) {
    ++number;
    try {
      return reader.next(sentence);
    } catch (const FileError& error) {
      if (!reader.skip() || !skips(sink, error.what())) throw;
    }
  }
}

/// The lines taken to recognise a text, then the others, without their ends.
Reader::Lines joined_lines(const Beginning& beginning, text::Lines& others) {
  return [&, number = size_t{0}](std::string& line) mutable {
    const bool is_held = number < beginning.lines.size();
    if (!is_held && !others.next(line)) return false;
    if (is_held)
      line = beginning.lines[number];
    else
      text::trim_line(line, number == 0);
    ++number;
    return true;
  };
}

/// Refuses lines that seem to be words of CoNLL.
Reader::Lines checked_lines(Reader::Lines lines, const std::string& name) {
  return [lines = std::move(lines), name, number = size_t{0}](std::string& line) mutable {
    if (!lines(line)) return false;
    check_is_text(name, ++number, line);
    return true;
  };
}

/// Adds all sentences of a text.
void add_all(Reader& reader, const std::string& name, bool has_columns, bool retag,
             const TreeSink& sink, TreeWriter& trees) {
  int64_t number = 0;
  for (Sentence sentence; read_next(reader, sentence, sink, number);) {
    if (has_columns && retag) remove_tags(sentence);
    trees.add(name + (has_columns ? ", sentence " : ", line ") +
                  std::to_string(has_columns ? number : reader.line()),
              sentence);
  }
}

}  // namespace

TextSource source_of(std::istream& in, std::string name) {
  std::streambuf* from = in.rdbuf();
  check<FileError>(from != nullptr && !in.fail(), "read_conllu", shown(name),
                   ": the stream cannot be read");
  const auto read = [from, name](std::string& chunk) {
    try {
      const int first = from->sbumpc();
      if (first == std::char_traits<char>::eof()) return false;
      const std::streamsize more = std::clamp<std::streamsize>(from->in_avail(), 0, kMostChunk);
      chunk.assign(1 + static_cast<size_t>(more), static_cast<char>(first));
      chunk.resize(1 + static_cast<size_t>(from->sgetn(chunk.data() + 1, more)));
      return true;
    } catch (const std::ios_base::failure& error) {
      fail<FileError>("read_conllu", shown(name), ": the stream cannot be read: ", error.what());
    }
  };
  return {std::move(name), read, [from] { return from->in_avail() > 0; }};
}

int64_t parse_stream(const Parser& parser, const TextSource& source, const TreeSink& sink,
                     const StreamOptions& options) {
  TreeWriter trees(parser, sink);
  try {
    const auto is_ready = [&] { return !source.is_ready || source.is_ready(); };
    text::Lines lines([&](std::string& chunk) {
      if (!is_ready()) trees.flush();
      return source.read(chunk);
    });
    const bool is_known = options.format && *options.format != Format::tokenized;
    const Beginning beginning = is_known ? Beginning{{}, false} : beginning_of(lines, is_ready);
    const Format format =
        beginning.is_conllu ? Format::conllu : options.format.value_or(Format::raw);
    if (sink.begins) sink.begins(format);
    const bool has_columns = format <= Format::conllx, is_sure = is_known || has_columns;
    Reader::Lines all = joined_lines(beginning, lines);
    if (!is_sure) all = checked_lines(std::move(all), source.name);
    Reader reader(std::move(all), source.name, {.format = format, .heads = Heads::any});
    add_all(reader, source.name, has_columns, options.retag, sink, trees);
  } catch (...) {
    trees.flush();
    throw;
  }
  trees.flush();
  return trees.written();
}

}  // namespace normlab::parse
