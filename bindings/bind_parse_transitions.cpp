#include "parse.h"

namespace normlab::bindings {
namespace {

using namespace normlab::parse;  // NOLINT

constexpr std::array kActions{"shift", "left_arc", "right_arc"};
constexpr std::array kMoves{"none", "shift", "any", "arcs", "root"};

/// Heads of the words 1, 2, ... with the root's before them.
std::vector<int32_t> with_root(const std::vector<std::optional<int32_t>>& heads) {
  std::vector<int32_t> all{kNone};
  for (const std::optional<int32_t> head : heads) all.push_back(head.value_or(kNone));
  return all;
}

// --- trees ------------------------------------------------------------------------------------

/// Binds a function of heads for both a Sentence and a list of heads.
template <class Function>
void def_for_heads(py::module_& m, const char* name, const Function& function, const char* doc) {
  m.def(
      name, [=](const Sentence& tree) { return function(heads_of(tree)); }, py::arg("tree"), doc);
  m.def(
      name,
      [=](const std::vector<std::optional<int32_t>>& tree) { return function(with_root(tree)); },
      py::arg("tree"));
}

std::vector<std::string> action_names(const std::vector<int32_t>& heads) {
  std::vector<std::string> names;
  for (const Action action : oracle(heads)) names.emplace_back(name_in(kActions, action));
  return names;
}

void bind_trees(py::module_& m) {
  def_for_heads(
      m, "check_tree", &check_tree,
      "ArgumentError naming a word unless the heads are a tree with one root. A Sentence, "
      "or the heads of its words 1, 2, ... as a list.\n\nExample:\n"
      "    >>> nl.parse.check_tree([2, 0])");
  def_for_heads(m, "is_projective", &is_projective,
                "True if every head reaches over its own descendants only. A Sentence or a list of "
                "heads; ArgumentError for a cycle.\n\nExample:\n"
                "    >>> nl.parse.is_projective([3, 4, 0, 3])\n    False");
  def_for_heads(m, "nonprojective_words", &nonprojective_words,
                "Numbers of the words whose heads reach over a word that is not a descendant of "
                "the head. A Sentence or a list of heads; ArgumentError for a cycle.\n\nExample:\n"
                "    >>> nl.parse.nonprojective_words([3, 4, 0, 3])\n    [2]");
  def_for_heads(
      m, "oracle", &action_names,
      "The actions \"shift\", \"left_arc\" and \"right_arc\" that build a tree, an arc as "
      "soon as it may be made. A Sentence or a list of heads; ArgumentError if it is "
      "no projective tree with one root.\n\nExample:\n"
      "    >>> nl.parse.oracle([2, 0])\n    ['shift', 'shift', 'left_arc', 'right_arc']");
}

std::vector<int32_t> stack_of(const State& state) {
  // Only the top three can be asked for: the rest are the words without head that are not in the
  // buffer.
  std::vector<int32_t> stack{0};
  const int32_t end = state.words() + 1 - state.buffer_size();
  for (int32_t w = 1; w < end; ++w)
    if (state.head(w) == kNone) stack.push_back(w);
  return stack;
}

std::vector<std::tuple<int32_t, int32_t, int32_t>> arcs_of(const State& state) {
  std::vector<std::tuple<int32_t, int32_t, int32_t>> arcs;
  for (int32_t w = 1; w <= state.words(); ++w)
    if (state.head(w) != kNone) arcs.emplace_back(state.head(w), state.label(w), w);
  return arcs;
}

std::vector<int32_t> buffer_of(const State& state) {
  std::vector<int32_t> buffer;
  for (int32_t i = 0; i < state.buffer_size(); ++i) buffer.push_back(state.buffer(i));
  return buffer;
}

void bind_state(py::module_& m) {
  py::class_<State>(m, "State", R"doc(A state of the arc-standard transition system (Nivre 2004).

The stack begins as the root, number 0, the buffer as the words 1 to n. shift puts the buffer's
first word on the stack; with s1 on top of s2, left_arc makes s1 the head of s2 and takes s2 off,
right_arc makes s2 the head of s1 and takes s1 off. The root never gets a head, and gives its arc
only when the buffer is empty and one word is left: so every state leads to a tree, and every tree
has one root. n words take 2n transitions.
)doc")
      .def(py::init<int32_t>(), py::arg("words"), "words: how many; ArgumentError below 0.")
      .def_property_readonly("stack", &stack_of, "Numbers of the words, the top last.")
      .def_property_readonly("buffer", &buffer_of, "Numbers of the words, the next one first.")
      .def_property_readonly("arcs", &arcs_of, "(head, label, word) of each arc, by words.")
      .def_property_readonly(
          "moves", [](const State& state) { return name_in(kMoves, state.moves()); },
          "The legal moves: \"shift\", \"arcs\" (between words), \"any\" of both, \"root\" (the "
          "arc "
          "from the root), or \"none\".")
      .def_property_readonly("done", &State::done, "True for a complete tree.")
      .def("shift", &State::shift, "ArgumentError unless it is legal, here and below.")
      .def("left_arc", &State::left_arc, py::arg("label") = 0)
      .def("right_arc", &State::right_arc, py::arg("label") = 0)
      .def("__len__", &State::words, "Number of words.")
      .def("__repr__", [](const State& state) {
        return joined("State(", state.stack_size() - 1, " words on the stack, ",
                      state.buffer_size(), " in the buffer)");
      });
}

void bind_transitions(py::module_& m) {
  py::class_<Transitions>(m, "Transitions", R"doc(Transitions with labels as classes.

0 is shift, then left_arc with each label, then right_arc. One label is the root's: the arc from the
root has this one, no other arc has it unless it is the only one.
)doc")
      .def(py::init<int32_t, int32_t>(), py::arg("labels"), py::arg("root"),
           "How many labels, and the number of the root's.")
      .def_property_readonly("labels", &Transitions::labels, "Number of labels.")
      .def_property_readonly("root", &Transitions::root, "The root's label.")
      .def_property_readonly("classes", &Transitions::classes, "1 + 2 * labels.")
      .def("left", &Transitions::left, py::arg("label"), "Class of left_arc.")
      .def("right", &Transitions::right, py::arg("label"), "Class of right_arc.")
      .def(
          "action", [](const Transitions& t, int32_t c) { return name_in(kActions, t.action(c)); },
          py::arg("transition"), "\"shift\", \"left_arc\" or \"right_arc\". RangeError outside.")
      .def(
          "label", [](const Transitions& t, int32_t c) { return none_or(t.label(c)); },
          py::arg("transition"), "Its label, None for shift. RangeError outside.")
      .def("masks", &Transitions::masks,
           "bool ``(5, classes)``: what is legal where a state's moves are \"none\", \"shift\", "
           "\"any\", \"arcs\" and \"root\", in this order.")
      .def("apply", &Transitions::apply, py::arg("state"), py::arg("transition"),
           "Changes the state. RangeError for a transition that does not exist, ArgumentError for "
           "one that is not legal.");
}

}  // namespace

void bind_transition_system(py::module_& parse) {
  bind_trees(parse);
  bind_state(parse);
  bind_transitions(parse);
}

}  // namespace normlab::bindings
