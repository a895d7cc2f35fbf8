#include <algorithm>

#include "models/parse/trees.h"

namespace normlab::parse {

// --- state ------------------------------------------------------------------------------------

void State::restart(int32_t words) {
  check<ArgumentError>(words >= 0, "State", "words must not be negative, got ", words);
  nodes_.assign(static_cast<size_t>(words) + 2, Node{});
  stack_.assign({kNone, kNone, 0});
  next_ = 1;
}

std::vector<int32_t> State::heads() const {
  std::vector<int32_t> heads{kNone};
  for (int32_t w = 1; w <= words(); ++w) heads.push_back(head(w));
  return heads;
}

Moves State::moves() const {
  const bool empty = next_ > words();
  const int32_t size = stack_size();
  if (size > 2) return empty ? Moves::arcs : Moves::any;
  if (!empty) return Moves::shift;
  return size == 2 ? Moves::root : Moves::none;
}

void State::shift() {
  check<ArgumentError>(next_ <= words(), "shift", "a word must be left in the buffer");
  stack_.push_back(next_++);
}

void State::attach(int32_t child, int32_t head, int32_t label, int32_t (&side)[2]) {
  node(child).head = head;
  node(child).label = label;
  // A further child is always further out than the others on its side.
  side[1] = side[0];
  side[0] = child;
}

void State::left_arc(int32_t label) {
  check<ArgumentError>(stack_size() > 2, "left_arc", "two words must be on the stack, there are ",
                       stack_size() - 1);
  attach(stack(1), stack(0), label, node(stack(0)).left);
  stack_.erase(stack_.end() - 2);
}

void State::right_arc(int32_t label) {
  const Moves now = moves();
  check<ArgumentError>(now == Moves::any || now == Moves::arcs || now == Moves::root, "right_arc",
                       "two words must be on the stack, or one and the buffer be empty; there are ",
                       stack_size() - 1, ", and ", buffer_size(), " in the buffer");
  attach(stack(0), stack(1), label, node(stack(1)).right);
  stack_.pop_back();
}

// --- oracle -----------------------------------------------------------------------------------

Oracle::Oracle(std::vector<int32_t> heads) : heads_(std::move(heads)) {
  check_tree(heads_);
  last_child_ = last_children(heads_);
}

Action Oracle::next(const State& state) const {
  check<ArgumentError>(state.words() + 1 == static_cast<int32_t>(heads_.size()), "oracle",
                       "the state must be one of ", heads_.size() - 1, " words, has ",
                       state.words());
  const Moves moves = state.moves();
  const int32_t s1 = state.stack(0), s2 = state.stack(1);
  if (moves == Moves::any || moves == Moves::arcs || moves == Moves::root) {
    if (heads_[s2] == s1) return Action::left_arc;
    const bool complete = last_child_[s1] <= s1 || state.head(last_child_[s1]) == s1;
    if (heads_[s1] == s2 && complete) return Action::right_arc;
  }
  check<ArgumentError>(moves == Moves::any || moves == Moves::shift, "oracle",
                       "no transition leads to the tree: it is not projective, or complete");
  return Action::shift;
}

std::vector<Action> oracle(const std::vector<int32_t>& heads) {
  const Oracle oracle(heads);
  State state(static_cast<int32_t>(heads.size()) - 1);
  std::vector<Action> actions;
  while (!state.done()) {
    actions.push_back(oracle.next(state));
    if (actions.back() == Action::shift)
      state.shift();
    else if (actions.back() == Action::left_arc)
      state.left_arc(0);
    else
      state.right_arc(0);
  }
  return actions;
}

// --- transitions with labels ------------------------------------------------------------------

Transitions::Transitions(int32_t labels, int32_t root) : labels_(labels), root_(root) {
  check<ArgumentError>(0 <= root && root < labels && labels <= INT32_MAX / 4, "Transitions",
                       "the root's label must be in [0, labels), got ", root, " of ", labels);
}

Action Transitions::action(int32_t transition) const {
  check<RangeError>(0 <= transition && transition < classes(), "Transitions",
                    "a transition must be in [0, ", classes(), "), got ", transition);
  if (transition == kShift) return Action::shift;
  return transition < right(0) ? Action::left_arc : Action::right_arc;
}

int32_t Transitions::label(int32_t transition) const {
  const Action which = action(transition);
  if (which == Action::shift) return kNone;
  return transition - (which == Action::left_arc ? left(0) : right(0));
}

bool Transitions::legal(Moves moves, int32_t transition) const {
  const Action which = action(transition);
  switch (moves) {
    case Moves::shift:
      return which == Action::shift;
    case Moves::any:
      return which == Action::shift || fits(label(transition), false);
    case Moves::arcs:
      return which != Action::shift && fits(label(transition), false);
    case Moves::root:
      return transition == right(root_);
    case Moves::none:
      break;
  }
  return false;
}

int32_t Transitions::forced(Moves moves) const {
  if (moves == Moves::shift) return kShift;
  return moves == Moves::root ? right(root_) : kNone;
}

Tensor Transitions::masks() const {
  Tensor masks = Tensor::empty({kMoveKinds, classes()}, DType::boolean);
  bool* out = masks.data<bool>();
  for (int m = 0; m < kMoveKinds; ++m)
    for (int32_t t = 0; t < classes(); ++t) *out++ = legal(static_cast<Moves>(m), t);
  return masks;
}

void Transitions::apply(State& state, int32_t transition) const {
  check<ArgumentError>(legal(state.moves(), transition), "Transitions", "transition ", transition,
                       " is not legal with ", state.stack_size() - 1, " words on the stack and ",
                       state.buffer_size(), " in the buffer");
  const Action which = action(transition);
  if (which == Action::shift)
    state.shift();
  else if (which == Action::left_arc)
    state.left_arc(label(transition));
  else
    state.right_arc(label(transition));
}

}  // namespace normlab::parse
