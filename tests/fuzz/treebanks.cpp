// CoNLL-U and CoNLL-X as files are read, and CoNLL-U as `normlab parse --conllu` reads it.

#include <sstream>
#include <utility>

#include "fuzz.h"

namespace normlab::fuzz {
namespace {

using parse::Format;
using parse::Heads;
using parse::Reader;
using parse::Sentence;

/// All sentences, or none if the reader refuses the text.
std::vector<Sentence> read(const std::string& text, Format format, Heads heads) {
  std::istringstream in(text);
  std::vector<Sentence> sentences;
  Reader reader(in, "input", {.format = format, .heads = heads});
  const bool refused = refuses<FileError>([&] {
    for (Sentence sentence; reader.next(sentence);) sentences.push_back(sentence);
  });
  if (refused) sentences.clear();
  return sentences;
}

void read_treebank(std::string_view input, Format format) {
  const std::string text(input);
  const std::vector<Sentence> any = read(text, format, Heads::any);
  if (any.empty()) return;
  const std::vector<Sentence> forests = read(text, format, Heads::forest),
                              trees = read(text, format, Heads::tree);
  require(forests.empty() || forests == any, "what holds forests holds sentences");
  require(trees.empty() || trees == forests, "what holds trees holds forests");
  std::string written;
  for (const Sentence& sentence : any) {
    written += to_conllu(sentence);
    static_cast<void>(sentence.note("text"));
  }
  require(read(written, format, Heads::any) == any, "what was written is what was read");
  for (const Sentence& sentence : trees) {
    const std::vector<int32_t> heads = heads_of(sentence);
    parse::check_tree(heads);
    require(parse::is_projective(heads) == parse::nonprojective_words(heads).empty(),
            "a tree is projective if its words are");
  }
}

/// Lines as a stream gives them, without their ends.
Reader::Lines lines_of(std::istream& in) {
  return [lines = text::Lines(parse::source_of(in, "input").read),
          is_first = true](std::string& line) mutable {
    const bool more = lines.next(line);
    text::trim_line(line, std::exchange(is_first, false));
    return more;
  };
}

/// The trees that a stream writes before what is wrong.
std::string streamed(const parse::Parser& parser, std::string_view input, bool retag) {
  std::istringstream in{std::string(input)};
  std::string written;
  const parse::TreeSink sink{.write = [&](std::string_view trees) { written += trees; }};
  refuses<FileError>([&] {
    parse_stream(parser, parse::source_of(in, "input"), sink,
                 {.format = Format::conllu, .retag = retag});
  });
  return written;
}

}  // namespace

void conllu(std::string_view input) {
  read_treebank(input, Format::conllu);
}

void conllx(std::string_view input) {
  read_treebank(input, Format::conllx);
}

void conllu_stream(std::string_view input) {
  static const parse::Parser parser(small_parser());
  const bool retag = input.size() % 2 == 1;  // as --retag
  std::istringstream in{std::string(input)};
  Reader reader(lines_of(in), "input", {.heads = Heads::any});
  std::vector<Sentence> sentences;
  refuses<FileError>([&] {  // the sentences before what is wrong are parsed
    for (Sentence sentence; reader.next(sentence);) sentences.push_back(sentence);
  });
  for (Sentence& sentence : sentences)
    for (parse::Word& word : sentence.words)
      if (retag) word.upos = word.xpos = "_";
  const std::vector<Sentence> given = sentences;
  parser.parse(sentences);
  std::string written;
  for (size_t i = 0; i < given.size(); ++i) {
    require(sentences[i].comments == given[i].comments && sentences[i].extras == given[i].extras,
            "comments and other lines stay as they are");
    for (size_t w = 0; w < given[i].words.size(); ++w)
      require(sentences[i].words[w].form == given[i].words[w].form, "words stay as they are");
    written += to_conllu(sentences[i]);
  }
  require(streamed(parser, input, retag) == written, "a stream has the trees of its sentences");
  require(read(written, Format::conllu, Heads::tree) == sentences, "parsed sentences have trees");
}

}  // namespace normlab::fuzz
