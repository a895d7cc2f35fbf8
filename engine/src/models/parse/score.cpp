#include <algorithm>
#include <iterator>

#include "core/json.h"
#include "normlab/parse.h"

namespace normlab::parse {
namespace {

using std::string_view;

/// The tags of Chen and Manning's published evaluation, and that of Universal Dependencies.
constexpr string_view kPunctuation[] = {"``", "''", ":", ",", ".", "PUNCT"};

bool is_punctuation(const Word& word) {
  const std::string& tag = word.xpos == "_" ? word.upos : word.xpos;
  return std::ranges::find(kPunctuation, tag) != std::end(kPunctuation);
}

string_view universal(string_view relation) {
  return relation.substr(0, relation.find(':'));
}

void check_alike(size_t number, const Sentence& gold, const Sentence& predicted) {
  check<ArgumentError>(gold.words.size() == predicted.words.size(), "score", "sentence ", number,
                       ": both must have the same words, there are ", gold.words.size(), " and ",
                       predicted.words.size());
  for (size_t i = 0; i < gold.words.size(); ++i) {
    const Word &a = gold.words[i], &b = predicted.words[i];
    if (a.form != b.form)
      fail<ArgumentError>("score", "sentence ", number, ": both must have the same words, word ",
                          i + 1, " is ", json_excerpt(a.form), " and ", json_excerpt(b.form));
    check<ArgumentError>(a.head >= 0 && b.head >= 0, "score", "sentence ", number,
                         ": the heads of word ", i + 1, " must be known");
  }
}

void add(Score& score, const Word& gold, const Word& predicted, Convention convention) {
  const bool ptb = convention == Convention::ptb;
  if (ptb && is_punctuation(gold)) return;
  ++score.words;
  if (gold.head != predicted.head) return;
  ++score.heads;
  if (ptb ? gold.deprel == predicted.deprel : universal(gold.deprel) == universal(predicted.deprel))
    ++score.relations;
}

}  // namespace

Score& Score::operator+=(const Score& other) {
  words += other.words;
  heads += other.heads;
  relations += other.relations;
  return *this;
}

Score score(const Sentence& gold, const Sentence& predicted, Convention convention) {
  const auto only = [](const Sentence& one) { return Sentences(std::vector{&one}); };
  return score(only(gold), only(predicted), convention);
}

Score score(const Sentences& gold, const Sentences& predicted, Convention convention) {
  check<ArgumentError>(gold.size() == predicted.size(), "score",
                       "both must have the same sentences, there are ", gold.size(), " and ",
                       predicted.size());
  Score total;
  for (size_t i = 0; i < gold.size(); ++i) {
    check_alike(i + 1, gold[i], predicted[i]);
    for (size_t w = 0; w < gold[i].words.size(); ++w)
      add(total, gold[i].words[w], predicted[i].words[w], convention);
  }
  return total;
}

}  // namespace normlab::parse
