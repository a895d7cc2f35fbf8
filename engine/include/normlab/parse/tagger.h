#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "normlab/parse/vocabulary.h"
#include "normlab/tensor.h"

namespace normlab::parse {

/// Number of a word's features for the tagger: the words two before to two after it, the shapes of
/// it and its neighbours, its suffixes of 1 to 4 characters, the neighbours' of 2 and 3, its
/// prefixes of 1 to 3.
inline constexpr int kTagFeatures = 19;

/// Words, affixes and shapes as the rows of one table: [null, unknown, words...], then [null,
/// unknown, affixes...], then [null, shapes...]. Null is what lies outside the sentence, and an
/// affix of a word that is too short. Spelling as in the parser's vocabulary: words and affixes in
/// lower case, digits as 0. A shape is which of these a word has: a capital first, a second one,
/// small letters, a digit, a mark.
class TagVocabulary {
 public:
  static constexpr int32_t kNull = 0, kUnknown = 1;  ///< first rows of words and affixes
  static constexpr int32_t kShapes = 32;

  /// Lists in the order of their numbers; a tag is UPOS, "|" and XPOS. ArgumentError for no tags,
  /// one without "|", and what NameList refuses.
  TagVocabulary(std::vector<std::string> words, std::vector<std::string> affixes,
                std::vector<std::string> tags);
  /// Of a treebank: its tags, and the words and affixes that occur at least `least` times.
  static TagVocabulary of(const Sentences& sentences, int64_t least = 2);

  const std::vector<std::string>& words() const { return words_.all(); }
  const std::vector<std::string>& affixes() const { return affixes_.all(); }
  const std::vector<std::string>& tags() const { return tags_.all(); }
  /// Rows of the table, and where those of the affixes and of the shapes begin.
  int32_t size() const { return shapes_begin() + 1 + kShapes; }
  int32_t affixes_begin() const { return 2 + words_.size(); }
  int32_t shapes_begin() const { return affixes_begin() + 2 + affixes_.size(); }

  /// Number of a word's tag, kNone if it is not there.
  int32_t tag(const Word& word) const;
  /// UPOS and XPOS of a tag. RangeError.
  std::pair<std::string, std::string> columns(int32_t tag) const;
  /// The rows of every word, [words, kTagFeatures]: see there.
  std::vector<int32_t> features(const Sentence& sentence) const;

 private:
  NameList words_, affixes_, tags_;
};

struct TagExamples {
  Tensor features;  ///< int32 [N, kTagFeatures]
  Tensor classes;   ///< int64 [N]: tags
};
/// Every word whose tag is in the vocabulary, in order.
TagExamples tag_examples(const Sentences& sentences, const TagVocabulary& vocabulary);

}  // namespace normlab::parse
