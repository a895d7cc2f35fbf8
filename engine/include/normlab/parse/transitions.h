#pragma once

#include <cstdint>
#include <vector>

#include "normlab/parse/sentence.h"
#include "normlab/tensor.h"

namespace normlab::parse {

enum class Action : uint8_t { shift, left_arc, right_arc };

/// The legal moves of a state.
enum class Moves : uint8_t {
  none,   ///< nothing: the tree is complete
  shift,  ///< only shift: less than two words are on the stack
  any,    ///< shift and arcs between words
  arcs,   ///< arcs between words: the buffer is empty
  root,   ///< only the arc from the root: one word is left
};
inline constexpr int kMoveKinds = 5;

/// A state of the arc-standard system (Nivre 2004) as Chen and Manning (2014) use it.
///
/// The stack begins as the root, number 0, the buffer as the words 1 to n. shift puts the buffer's
/// first word on the stack; with s1 on top of s2, left_arc makes s1 the head of s2 and takes s2
/// off, right_arc makes s2 the head of s1 and takes s1 off. The root never gets a head, and gives
/// its arc only when the buffer is empty and one word is left: so every state leads to a tree, and
/// every tree has one root. n words take 2n transitions.
class State {
 public:
  explicit State(int32_t words = 0) { restart(words); }
  /// Begins with another sentence, in the memory of the last. ArgumentError for less than 0 words.
  void restart(int32_t words);

  int32_t words() const { return static_cast<int32_t>(nodes_.size()) - 2; }
  /// The i-th from the top of the stack, i from 0 to 2; kNone if there is none.
  int32_t stack(int i) const { return stack_[stack_.size() - 1 - static_cast<size_t>(i)]; }
  /// The i-th word of the buffer, kNone if there is none.
  int32_t buffer(int i) const { return next_ + i <= words() ? next_ + i : kNone; }
  /// Sizes; the stack's counts the root.
  int32_t stack_size() const { return static_cast<int32_t>(stack_.size()) - kBelow; }
  int32_t buffer_size() const { return words() + 1 - next_; }

  // Of a word (0: the root, kNone: nothing), or kNone.
  int32_t head(int32_t word) const { return node(word).head; }
  int32_t label(int32_t word) const { return node(word).label; }
  /// Leftmost child on its left side, and the one after that.
  int32_t left_child(int32_t word) const { return node(word).left[0]; }
  int32_t second_left_child(int32_t word) const { return node(word).left[1]; }
  /// Rightmost child on its right side, and the one before that.
  int32_t right_child(int32_t word) const { return node(word).right[0]; }
  int32_t second_right_child(int32_t word) const { return node(word).right[1]; }
  std::vector<int32_t> heads() const;

  Moves moves() const;
  bool done() const { return moves() == Moves::none; }
  // ArgumentError unless moves() allows it.
  void shift();
  void left_arc(int32_t label);
  void right_arc(int32_t label);

 private:
  // Entries below the stack's bottom: stack(2) always exists.
  static constexpr int32_t kBelow = 2;
  struct Node {
    int32_t head = kNone, label = kNone;
    int32_t left[2] = {kNone, kNone}, right[2] = {kNone, kNone};
  };
  const Node& node(int32_t word) const { return nodes_[static_cast<size_t>(word + 1)]; }
  Node& node(int32_t word) { return nodes_[static_cast<size_t>(word + 1)]; }
  void attach(int32_t child, int32_t head, int32_t label, int32_t (&side)[2]);

  std::vector<Node> nodes_;  // of kNone, of the root, of the words
  std::vector<int32_t> stack_;
  int32_t next_ = 1;
};

/// The static oracle: the actions that lead to a given tree.
class Oracle {
 public:
  /// ArgumentError unless it is a tree with one root.
  explicit Oracle(std::vector<int32_t> heads);
  /// The next action from a state that the oracle has led to: an arc as soon as it may be made.
  /// ArgumentError if the tree is not projective and no action leads to it.
  Action next(const State& state) const;

 private:
  std::vector<int32_t> heads_, last_child_;
};

/// The actions that build a projective tree. ArgumentError if it is none.
std::vector<Action> oracle(const std::vector<int32_t>& heads);

/// Transitions with labels as classes: 0 is shift, then left_arc with each label, then right_arc.
/// One label is the root's: the arc from the root has this one, no other arc has it unless it is
/// the only one.
class Transitions {
 public:
  static constexpr int32_t kShift = 0;
  /// ArgumentError unless 0 <= root < labels.
  Transitions(int32_t labels, int32_t root);

  int32_t labels() const { return labels_; }
  int32_t root() const { return root_; }
  int32_t classes() const { return 1 + 2 * labels_; }
  int32_t left(int32_t label) const { return 1 + label; }
  int32_t right(int32_t label) const { return 1 + labels_ + label; }
  Action action(int32_t transition) const;
  /// kNone for shift.
  int32_t label(int32_t transition) const;

  bool legal(Moves moves, int32_t transition) const;
  /// The transition where moves leave no choice (shift, root), else kNone.
  int32_t forced(Moves moves) const;
  /// bool [kMoveKinds, classes]: row m has what Moves m makes legal.
  Tensor masks() const;
  /// RangeError for a transition that does not exist, ArgumentError for one that is not legal.
  void apply(State& state, int32_t transition) const;
  /// True if an arc from the root, or from a word, may have the label.
  bool fits(int32_t label, bool from_root) const {
    return from_root ? label == root_ : label != root_ || labels_ == 1;
  }

 private:
  int32_t labels_, root_;
};

}  // namespace normlab::parse
