#pragma once

#include <cstdint>
#include <span>

#include "normlab/parse/vocabulary.h"
#include "normlab/tensor.h"

namespace normlab::parse {

/// The 48 features of Chen and Manning (2014). The words s3 s2 s1 of the stack and b1 b2 b3 of the
/// buffer, then, first of s1 and then of s2, leftmost and rightmost child, second of both, leftmost
/// child of the leftmost, rightmost of the rightmost: 18 words, the tags of these 18, and the
/// labels of the 12 children.
inline constexpr int kFeatures = 48;

/// A sentence while it is parsed.
struct Configuration {
  Ids ids;
  State state;
};
/// The configuration of a sentence before the first transition.
Configuration start(const Vocabulary& vocabulary, const Sentence& sentence);

/// Writes the 48 rows of a state, in a vocabulary whose labels begin at `labels_begin`.
void features(const State& state, const Ids& ids, int32_t labels_begin, int32_t* out);
/// The features of many states, [n, 48], over all cores.
void features(const Vocabulary& vocabulary, std::span<const Configuration* const> each,
              int32_t* out);
/// One transition each. Errors as Transitions::apply().
void apply(const Transitions& transitions, std::span<Configuration* const> each,
           std::span<const int32_t> chosen);

/// Every step of the oracle on the way to every tree, sentence by sentence.
struct Examples {
  Tensor features;  ///< int32 [N, 48]
  Tensor classes;   ///< int64 [N]: the oracle's transitions
  Tensor moves;     ///< uint8 [N]: what was legal, rows of Transitions::masks()
  int64_t trees = 0;
  int64_t nonprojective = 0;  ///< trees left out, since no transitions build them
  /// Others left out: not one root, a label that is not in the vocabulary, the root's label
  /// elsewhere or another one at the root.
  int64_t unusable = 0;
};
/// Does not depend on the number of threads. ArgumentError naming sentence and word for a cycle or
/// a head that is not known.
Examples examples(const Sentences& sentences, const Vocabulary& vocabulary);

}  // namespace normlab::parse
