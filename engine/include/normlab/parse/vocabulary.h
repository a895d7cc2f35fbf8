#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "normlab/parse/sentence.h"
#include "normlab/parse/transitions.h"

namespace normlab::parse {

/// Texts by number, each once.
class NameList {
 public:
  /// ArgumentError, calling them `what`, for an entry that is empty, that no file could hold, or
  /// that comes twice.
  NameList(const char* what, std::vector<std::string> entries);
  const std::vector<std::string>& all() const { return entries_; }
  const std::string& operator[](int32_t number) const {
    return entries_[static_cast<size_t>(number)];
  }
  int32_t size() const { return static_cast<int32_t>(entries_.size()); }
  /// kNone if it is not there.
  int32_t number(std::string_view entry) const;

 private:
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  std::vector<std::string> entries_;
  std::unordered_map<std::string, int32_t, Hash, std::equal_to<>> numbers_;
};

/// Which column is a word's tag.
enum class Tags : uint8_t { upos, xpos, both };
struct VocabularyOptions {
  int64_t least = 2;   ///< words that occur less often are unknown
  bool lower = true;   ///< words in lower case: Latin, Greek and Cyrillic letters
  bool digits = true;  ///< every digit of a word as 0
  Tags tags = Tags::upos;
};

/// A sentence's words and tags as numbers, behind those of "nothing" and of the root: word w is at
/// w + 1.
struct Ids {
  std::vector<int32_t> words, tags;
};

/// Words, tags and labels as the rows of one table: [null, root, unknown, words...], then [null,
/// root, unknown, tags...], then [null, labels...]. The most frequent come first, equals by their
/// bytes. Chen and Manning keep case and digits and all words; their published code takes a
/// cut-off too.
class Vocabulary {
 public:
  static constexpr int32_t kNull = 0, kRoot = 1, kUnknown = 2;  ///< first rows of words and tags

  /// Lists in the order of their numbers, as words(), tags() and labels() give them; `root` is the
  /// label of the root's arc. ArgumentError for an entry that is empty, that no file could hold, or
  /// comes twice, and for a root that is not a label.
  Vocabulary(std::vector<std::string> words, std::vector<std::string> tags,
             std::vector<std::string> labels, const std::string& root,
             const VocabularyOptions& options = {});
  /// Of a treebank: all its tags and labels, and the words that occur often enough. The root's
  /// label is the most frequent one of words with head 0. ArgumentError if there is none.
  static Vocabulary of(const Sentences& sentences, const VocabularyOptions& options = {});

  const VocabularyOptions& options() const { return options_; }
  const std::vector<std::string>& words() const { return words_.all(); }
  const std::vector<std::string>& tags() const { return tags_.all(); }
  const std::vector<std::string>& labels() const { return labels_.all(); }
  const std::string& root() const { return labels_[root_]; }
  Transitions transitions() const;

  /// Rows of the table, and where those of the tags and of the labels begin.
  int32_t size() const { return labels_begin() + 1 + labels_.size(); }
  int32_t tags_begin() const { return 3 + words_.size(); }
  int32_t labels_begin() const { return tags_begin() + 3 + tags_.size(); }

  /// Row of a word: unknown if it is not there.
  int32_t word_id(std::string_view form) const;
  /// Row of a word's tag.
  int32_t tag_id(const Word& word) const;
  /// Number of a label, from 0, not its row; kNone if it is not there.
  int32_t label(std::string_view deprel) const;
  Ids ids(const Sentence& sentence) const;
  /// The meaning of a row: "<null>", "<root>", "<unknown>" or the entry. RangeError outside.
  std::string name(int32_t row) const;

 private:
  VocabularyOptions options_;
  NameList words_, tags_, labels_;
  int32_t root_ = 0;
};

}  // namespace normlab::parse
