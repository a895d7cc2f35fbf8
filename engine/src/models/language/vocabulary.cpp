#include <algorithm>
#include <set>

#include "models/text/characters.h"
#include "normlab/language.h"

namespace normlab::language {
namespace {

using text::code_point;

/// Calls character(code, bytes) for each character. ArgumentError for what is no text.
template <class Character>
void for_checked(const char* op, std::string_view text, const Character& character) {
  for (size_t at = 0, length = 0; at < text.size(); at += length) {
    check<ArgumentError>(text[at] != '\0', op, "byte ", at, " of the text is NUL");
    length = utf8_length(text, at);
    check<ArgumentError>(length > 0, op, "the text must be UTF-8, at byte ", at, " it is not");
    const std::string_view bytes = text.substr(at, length);
    character(code_point(bytes), bytes);
  }
}

}  // namespace

Vocabulary::Vocabulary(std::string_view characters) : characters_{"\uFFFD"} {
  for_checked("Vocabulary", characters, [&](uint32_t code, std::string_view bytes) {
    const auto [place, fresh] = numbers_.emplace(code, size());
    check<ArgumentError>(fresh, "Vocabulary", "each character must come once, ",
                         json_excerpt(bytes), " is number ", place->second, " and ", size());
    characters_.emplace_back(bytes);
  });
}

Vocabulary Vocabulary::of(std::string_view text) {
  // By their bytes: UTF-8 has the order of the code points.
  std::set<std::string_view> found;
  for_checked("Vocabulary.of", text,
              [&](uint32_t, std::string_view bytes) { found.insert(bytes); });
  std::string characters;
  for (const std::string_view bytes : found) characters += bytes;
  return Vocabulary(characters);
}

Tensor Vocabulary::encode(std::string_view text) const {
  std::vector<int64_t> numbers;
  for_checked("encode", text, [&](uint32_t code, std::string_view) {
    const auto place = numbers_.find(code);
    numbers.push_back(place == numbers_.end() ? kUnknown : place->second);
  });
  Tensor encoded = Tensor::empty({static_cast<int64_t>(numbers.size())}, DType::int64);
  std::ranges::copy(numbers, encoded.data<int64_t>());
  return encoded;
}

const std::string& Vocabulary::character(int64_t number) const {
  check<RangeError>(0 <= number && number < size(), "Vocabulary", "number must be in [0, ", size(),
                    "), got ", number);
  return characters_[static_cast<size_t>(number)];
}

std::string Vocabulary::characters() const {
  std::string all;
  for (size_t i = 1; i < characters_.size(); ++i) all += characters_[i];
  return all;
}

}  // namespace normlab::language
