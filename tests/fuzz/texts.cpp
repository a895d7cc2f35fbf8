// Lines of text as `normlab predict` and `normlab parse` take them.

#include <algorithm>
#include <sstream>

#include "fuzz.h"

namespace normlab::fuzz {
namespace {

/// Networks see a share of the inputs: they are slow, and see only numbers of words.
bool is_for_network(std::string_view input) {
  return input.size() % 16 == 0;
}

/// Text as `normlab parse` takes it: each line becomes a tree or is refused.
void parse_lines(const parse::Parser& parser, std::string_view input, parse::Format format) {
  std::istringstream in{std::string(input)};
  std::string written;
  int64_t skipped = 0;
  const parse::TreeSink sink{.write = [&](std::string_view trees) { written += trees; },
                             .skips = [&](const std::string&) { return ++skipped > 0; }};
  int64_t trees = 0;
  refuses<ArgumentError>([&] {
    trees = parse_stream(parser, parse::source_of(in, "input"), sink, {.format = format});
  });
  require(trees + skipped <= 1 + std::ranges::count(input, '\n'), "a line is one sentence at most");
  std::istringstream again(written);
  parse::Reader reader(again, "written");
  for (parse::Sentence sentence; reader.next(sentence);) --trees;
  require(trees <= 0, "what was written is what was counted");
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
  if (is_for_network(input))
    for (const auto format : {parse::Format::raw, parse::Format::tokenized})
      parse_lines(parser, input, format);
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
