// Safetensors, the JSON of their headers, and model files.

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/json.h"
#include "fuzz.h"
#include "normlab/io.h"

namespace normlab::fuzz {
namespace {

bool same(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         (a.nbytes() == 0 || std::memcmp(a.raw(), b.raw(), static_cast<size_t>(a.nbytes())) == 0);
}

bool same(const TensorFile& a, const TensorFile& b) {
  return a.metadata == b.metadata &&
         std::ranges::equal(a.tensors, b.tensors, [](const auto& x, const auto& y) {
           return x.first == y.first && same(x.second, y.second);
         });
}

/// A value of the kind that the input's next byte names: what a caller asks for is not the file's
/// to choose, so only the caller's depth is bounded.
void read_value(JsonReader& json, std::string_view& kinds, int depth) {
  const char kind = kinds.empty() ? 's' : kinds.front();
  if (!kinds.empty()) kinds.remove_prefix(1);
  if (kind == 'o' && depth > 0)
    json.object([&](const std::string&) { read_value(json, kinds, depth - 1); });
  else if (kind == 'a' && depth > 0)
    json.array([&] { read_value(json, kinds, depth - 1); });
  else if (kind == 'n')
    require(json.count() >= 0, "a count is not negative");
  else
    require(is_utf8(json.string()), "a string is UTF-8");
}

}  // namespace

void json(std::string_view input) {
  const size_t mark = std::min(input.find('\n'), input.size());
  std::string_view kinds = input.substr(0, mark), text = input.substr(mark);
  refuses<JsonError>([&] {
    JsonReader reader(text);
    read_value(reader, kinds, 8);
    reader.end();
  });
  require(is_utf8(json_excerpt(text)), "an excerpt is UTF-8");
  if (!is_utf8(text)) return;
  const std::string quoted = json_quoted(text);
  JsonReader reader(quoted);
  require(reader.string() == text, "what was quoted is what is read");
  reader.end();
}

void safetensors(std::string_view input) {
  TensorFile file;
  if (refuses<FileError, OutOfMemoryError>([&] { file = load(file_of(input)); })) return;
  save(output_path(), file.tensors, file.metadata);
  require(same(load(output_path()), file), "what was saved is what is loaded");
}

void text_model(std::string_view input) {
  text::Model model;
  if (refuses<FileError, OutOfMemoryError>([&] { model = text::load_model(file_of(input)); }))
    return;
  const auto [logits, label] = model.label("A good film, is n't it?");
  require(logits.numel() == static_cast<int64_t>(model.labels.size()), "a logit a label");
  require(std::ranges::find(model.labels, label) != model.labels.end(), "a label of the model's");
  model.label("");
  text::save_model(output_path(), model);
  require(text::load_model(output_path()).labels == model.labels, "what was saved is loaded");
}

void language_model(std::string_view input) {
  language::Model model;
  if (refuses<FileError, OutOfMemoryError>([&] { model = language::load_model(file_of(input)); }))
    return;
  language::save_model(output_path(), model);
  const std::string characters = model.vocabulary.characters();
  require(language::load_model(output_path()).vocabulary.characters() == characters,
          "what was saved is loaded");
  std::string text;
  if (refuses<ArgumentError>([&] {  // no characters, or logits that are not finite
        text = language::generate(model, characters, 3, {.temperature = 0});
      }))
    return;
  const Tensor numbers = model.vocabulary.encode(text);
  require(numbers.numel() == 3, "as many characters as asked for");
  for (const double number : numbers.to_vector())
    require(number != language::Vocabulary::kUnknown, "known characters alone");
}

void translate_model(std::string_view input) {
  translate::Model model;
  if (refuses<FileError, OutOfMemoryError>([&] { model = translate::load_model(file_of(input)); }))
    return;
  const std::vector<std::string> lines = {"a b", ""};
  refuses<ArgumentError>([&] { model.translate(lines, {.beam = 2}); });  // two positions, say
  translate::save_model(output_path(), model);
  require(translate::load_model(output_path()).target.pieces() == model.target.pieces(),
          "what was saved is loaded");
}

void parse_model(std::string_view input) {
  std::optional<parse::Model> model;
  if (refuses<FileError, OutOfMemoryError>([&] { model = parse::load_model(file_of(input)); }))
    return;
  parse::save_model(output_path(), *model);
  const bool has_tagger = model->tagger.has_value();
  const parse::Parser parser(*std::move(model));
  parse::Sentence sentence = parse::sentence_of("The dog sees 12 birds.");
  if (!has_tagger)
    for (parse::Word& word : sentence.words) word.upos = word.xpos = "NOUN";
  parser.parse(std::span(&sentence, 1));
  parse::check_tree(heads_of(sentence));
}

}  // namespace normlab::fuzz
