#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace normlab::parse {

/// Number of a word that does not exist; the head of a word whose head is not known.
inline constexpr int32_t kNone = -1;

/// A word of a treebank: the columns of its line, "_" where nothing is given. Words count from 1.
struct Word {
  std::string form;
  std::string lemma = "_", upos = "_", xpos = "_", feats = "_";
  int32_t head = kNone;  ///< the head's number, 0 for the root, kNone where it is not known
  std::string deprel = "_", deps = "_", misc = "_";
  bool operator==(const Word&) const = default;
};

/// A line that is no word: a multi-word token ("3-4") or an empty node ("8.1").
struct Extra {
  int32_t after = 0;  ///< number of the word that it follows, 0 at the beginning
  std::string line;   ///< all its columns, as they were read
  bool operator==(const Extra&) const = default;
};

struct Sentence {
  std::vector<std::string> comments;  ///< lines, each beginning with #
  std::vector<Word> words;
  std::vector<Extra> extras;  ///< in their order

  /// The value of the comment "# key = value", such as "text" or "sent_id"; "" if there is none.
  std::string_view note(std::string_view key) const;
  bool operator==(const Sentence&) const = default;
};

/// Sentences as arguments: a vector of them, or pointers to single ones. Nothing is copied, they
/// must live as long.
class Sentences {
 public:
  Sentences(const std::vector<Sentence>& all) {  // NOLINT: a conversion
    for (const Sentence& sentence : all) each_.push_back(&sentence);
  }
  explicit Sentences(std::vector<const Sentence*> each) : each_(std::move(each)) {}
  size_t size() const { return each_.size(); }
  const Sentence& operator[](size_t i) const { return *each_[i]; }

 private:
  std::vector<const Sentence*> each_;
};

// --- trees ------------------------------------------------------------------------------------
// A tree of n words is a vector of n + 1 heads: heads[w] is the head of word w, heads[0] is kNone.

std::vector<int32_t> heads_of(const Sentence& sentence);
/// ArgumentError naming a word unless the heads are a tree with one root.
void check_tree(const std::vector<int32_t>& heads);
/// True if every head reaches over its own descendants only; the root reaches over all.
/// ArgumentError unless the heads are a tree or a forest.
bool is_projective(const std::vector<int32_t>& heads);
/// The words whose heads reach over a word that is not a descendant of the head, in order.
std::vector<int32_t> nonprojective_words(const std::vector<int32_t>& heads);

}  // namespace normlab::parse
