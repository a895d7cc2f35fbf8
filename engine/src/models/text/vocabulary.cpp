#include <algorithm>

#include "core/json.h"
#include "models/text/characters.h"
#include "models/text/frequency.h"
#include "normlab/text.h"

namespace normlab::text {
namespace {

bool is_word(std::string_view word) {
  for (size_t at = 0; at < word.size();) {
    const size_t length = utf8_length(word, at);
    if (length == 0 || word[at] == '\0' || is_space(code_point(word.substr(at, length))))
      return false;
    at += length;
  }
  return !word.empty();
}

}  // namespace

std::vector<std::string> by_frequency(std::vector<Count> counts, int64_t least) {
  std::erase_if(counts, [&](const Count& count) { return count.second < least; });
  std::ranges::sort(counts, [](const Count& a, const Count& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  std::vector<std::string> texts;
  texts.reserve(counts.size());
  for (const Count& count : counts) texts.emplace_back(count.first);
  return texts;
}

Vocabulary::Vocabulary(std::vector<std::string> words) : words_{"<unk>"}, numbers_{{"<unk>", 0}} {
  for (std::string& word : words) {
    check<ArgumentError>(is_word(word), "Vocabulary", "word ", size(),
                         " must be UTF-8 text without ", "white space, got ", json_excerpt(word));
    const auto [place, fresh] = numbers_.emplace(word, size());
    check<ArgumentError>(fresh, "Vocabulary", "each word must come once, ", json_excerpt(word),
                         " is number ", place->second, " and ", size());
    words_.push_back(std::move(word));
  }
}

Vocabulary Vocabulary::of(const std::vector<std::vector<std::string>>& sentences, int64_t least) {
  check<ArgumentError>(least >= 1, "Vocabulary.of", "least must be at least 1, got ", least);
  std::unordered_map<std::string_view, int64_t> occurrences;
  for (const auto& sentence : sentences)
    for (const std::string& word : sentence) ++occurrences[word];
  return Vocabulary(by_frequency({occurrences.begin(), occurrences.end()}, least));
}

int64_t Vocabulary::number(std::string_view word) const {
  const auto place = numbers_.find(word);
  return place == numbers_.end() ? kUnknown : place->second;
}

const std::string& Vocabulary::word(int64_t number) const {
  check<RangeError>(0 <= number && number < size(), "Vocabulary", "number must be in [0, ", size(),
                    "), got ", number);
  return words_[static_cast<size_t>(number)];
}

}  // namespace normlab::text
