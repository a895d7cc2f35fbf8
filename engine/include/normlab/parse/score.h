#pragma once

#include <cstdint>

#include "normlab/parse/sentence.h"

namespace normlab::parse {

/// Which words count, and when a relation is right.
enum class Convention : uint8_t {
  /// All words; relations without their subtypes ("nsubj:pass" is "nsubj"), as the official script
  /// of the CoNLL 2018 shared task has it for gold words.
  conll18,
  /// No punctuation: words whose gold tag is `` '' : , or . do not count, as in Chen and Manning
  /// (2014). The tag is xpos, or upos where that is "_"; its PUNCT does not count either.
  ptb,
};
struct Score {
  int64_t words = 0;      ///< that count
  int64_t heads = 0;      ///< of them with the right head
  int64_t relations = 0;  ///< of these with the right relation
  /// Unlabelled and labelled attachment score in per cent, 0 without words.
  double uas() const { return percent(heads); }
  double las() const { return percent(relations); }
  Score& operator+=(const Score& other);

 private:
  double percent(int64_t right) const {
    return words == 0 ? 0.0 : 100.0 * (static_cast<double>(right) / static_cast<double>(words));
  }
};
/// ArgumentError unless both have the same forms, and heads that are known.
Score score(const Sentence& gold, const Sentence& predicted,
            Convention convention = Convention::conll18);
/// The sum over all sentences. ArgumentError naming the sentence.
Score score(const Sentences& gold, const Sentences& predicted,
            Convention convention = Convention::conll18);

}  // namespace normlab::parse
