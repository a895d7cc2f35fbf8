#pragma once

#include <cstdint>
#include <functional>
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

#include "normlab/parse/sentence.h"
#include "normlab/text.h"

namespace normlab::parse {

enum class Format : uint8_t {
  conllu,     ///< Universal Dependencies, version 2: multi-word tokens, empty nodes
  conllx,     ///< the shared task of 2006: CPOSTAG is upos, POSTAG xpos, PHEAD deps, PDEPREL misc
  raw,        ///< text with a sentence a line, see sentence_of()
  tokenized,  ///< text with a sentence a line and white space between the words
};
/// The heads that a sentence of a treebank must have.
enum class Heads : uint8_t {
  tree,    ///< a tree: one word has head 0, every other word leads to it
  forest,  ///< one root or more, every other word leads to one
  any,     ///< 0, a word, or "_" for not known: text that waits to be parsed
};
struct ReadOptions {
  Format format = Format::conllu;
  Heads heads = Heads::tree;  ///< of CoNLL-U and CoNLL-X
};

/// Limits of a text: one sentence bounds the reader's memory.
using text::kMaxLineBytes;
inline constexpr size_t kMaxSentenceBytes = 16 << 20;
inline constexpr int64_t kMaxSentenceLines = 100'000;

/// Reads sentences one by one from UTF-8 text.
///
/// CoNLL-U and CoNLL-X have a line a word, ten columns divided by tabs, and an empty line after
/// each sentence. Lines may end with LF or CR LF, the text may begin with a byte order mark and end
/// without the last empty line. The reader passes over further empty lines, and takes a line of
/// only spaces and tabs for an empty one. But for these, to_conllu() gives the text back.
///
/// Raw and tokenized text has a sentence a line. The reader passes over lines without words.
class Reader {
 public:
  /// Puts the next line, without its end, into its argument; false after the last one.
  using Lines = std::function<bool(std::string&)>;

  /// `name` is the text's name in errors.
  Reader(Lines lines, std::string name, const ReadOptions& options = {});
  /// The stream must live as long. Lines are read as they come, for a terminal or a pipe.
  Reader(std::istream& in, std::string name, const ReadOptions& options = {});

  /// Reads the next sentence; false after the last one. `sentence` loses its content, its memory is
  /// used again. Nothing can be read after an error unless skip() passes over it.
  /// @throws FileError  a broken line, tree or stream: name, line and reason.
  bool next(Sentence& sentence);
  /// After next() has refused a sentence: passes over the rest of it, so that next() reads the one
  /// after it. False, without any effect, where the stream failed: the rest is not known.
  bool skip();
  /// Number of the last line read, from 1.
  int64_t line() const { return number_; }

 private:
  template <class... Parts>
  [[noreturn]] void refuse(int64_t line, const Parts&... parts);
  bool has_columns() const { return options_.format <= Format::conllx; }
  bool pull_line();
  bool take_line();
  bool next_block(Sentence& sentence);
  bool next_line(Sentence& sentence);
  void add_line(Sentence& sentence, size_t& words);
  void add_word(const std::string_view* columns, Word& word);
  void add_extra(std::string_view id, Sentence& sentence);
  void finish(const Sentence& sentence);

  Lines lines_;
  std::string name_;
  ReadOptions options_;
  bool ended_ = false, has_refused_ = false;
  int64_t number_ = 0;  // of the line
  std::string line_;
  // The sentence being read.
  size_t bytes_ = 0;
  int64_t first_line_ = 0;
  std::vector<int64_t> places_;  // lines of the words
  int32_t range_end_ = 0;        // last word of the last multi-word token
  int64_t range_line_ = 0;
  int32_t empty_nodes_ = 0;  // since the last word
  std::vector<int32_t> heads_;
};

/// All sentences of a file. FileError with path, line and reason.
std::vector<Sentence> read_conllu(const std::string& path, const ReadOptions& options = {});
/// The lines of a sentence, with the empty one after it. ArgumentError where a reader would refuse
/// them: an empty column, a tab or a line break inside, invalid UTF-8.
std::string to_conllu(const Sentence& sentence);
/// Writes a file whole or not at all. FileError with path and reason, ArgumentError as to_conllu().
void write_conllu(const std::string& path, const Sentences& sentences);

/// The words of a line of raw English text as the English Web Treebank of Universal Dependencies
/// cuts them, in their own spelling. URLs, e-mail addresses, file names, numbers, abbreviations and
/// emoticons are whole. A contraction is one multi-word token in `extras` ("1-2 don't") and several
/// words ("do", "n't"). MISC is "SpaceAfter=No" where no space follows, of a multi-word token on
/// its own line. The line is the comment "text". ArgumentError for invalid UTF-8, a NUL character,
/// or a line without words.
Sentence sentence_of(std::string_view line);

}  // namespace normlab::parse
