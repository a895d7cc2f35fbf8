// Lines of text as `normlab predict` and `normlab parse` take them.

#include <sstream>

#include "fuzz.h"

namespace normlab::fuzz {

void tokenizer(std::string_view input) {
  static const text::Model model = small_classifier();
  std::vector<std::string> words;
  if (refuses<ValueError>([&] { words = text::tokenize(input); })) return;
  // Refuses a word that is empty, no UTF-8 or has white space.
  const text::Vocabulary vocabulary = text::Vocabulary::of({words});
  for (const std::string& word : words)
    require(vocabulary.number(word) != text::Vocabulary::kUnknown, "a word has its number");
  require(model.logits({std::string(input)}).numel() == 2, "every line has its logits");
}

void raw_text(std::string_view input) {
  static const parse::Parser parser(small_parser());
  parse::Sentence sentence;
  if (refuses<ValueError>([&] { sentence = parse::sentence_of(input); })) return;
  parser.parse(std::span(&sentence, 1));
  std::istringstream in(to_conllu(sentence));
  parse::Reader reader(in, "written");
  parse::Sentence again;
  require(reader.next(again) && again == sentence, "what was written is what was read");
  require(!reader.next(again), "a line is one sentence");
}

}  // namespace normlab::fuzz
