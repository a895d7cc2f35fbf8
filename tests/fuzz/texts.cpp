// Lines of text as `normlab predict` and `normlab parse` take them.

#include <sstream>

#include "fuzz.h"

namespace normlab::fuzz {
namespace {

/// Networks see a share of the inputs: they are slow, and see only numbers of words.
bool is_for_network(std::string_view input) {
  return input.size() % 16 == 0;
}

}  // namespace

void tokenizer(std::string_view input) {
  static const text::Model model = small_classifier();
  std::vector<std::string> words;
  if (refuses<ArgumentError>([&] { words = text::tokenize(input); })) return;
  // Refuses a word that is empty, no UTF-8 or has white space.
  const text::Vocabulary vocabulary = text::Vocabulary::of({words});
  for (const std::string& word : words)
    require(vocabulary.number(word) != text::Vocabulary::kUnknown, "a word has its number");
  if (is_for_network(input))
    require(model.logits({std::string(input)}).numel() == 2, "every line has its logits");
}

void raw_text(std::string_view input) {
  static const parse::Parser parser(small_parser());
  parse::Sentence sentence;
  if (refuses<ArgumentError>([&] { sentence = parse::sentence_of(input); })) return;
  const bool parsed = is_for_network(input);
  if (parsed) parser.parse(std::span(&sentence, 1));
  std::istringstream in(to_conllu(sentence));
  parse::Reader reader(in, "written", {.heads = parsed ? parse::Heads::tree : parse::Heads::any});
  parse::Sentence again;
  require(reader.next(again) && again == sentence, "what was written is what was read");
  require(!reader.next(again), "a line is one sentence");
}

}  // namespace normlab::fuzz
