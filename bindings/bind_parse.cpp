#include <span>

#include "parse.h"

namespace normlab::bindings {
namespace {

using namespace normlab::parse;  // NOLINT

// --- conversion -------------------------------------------------------------------------------

constexpr std::array kFormats{"conllu", "conllx"};
constexpr std::array kHeads{"tree", "forest", "any"};
constexpr std::array kTags{"upos", "xpos", "both"};
constexpr std::array kConventions{"conll18", "ptb"};
constexpr std::array kActions{"shift", "left_arc", "right_arc"};
constexpr std::array kMoves{"none", "shift", "any", "arcs", "root"};

ReadOptions read_options(const std::string& format, const std::string& heads) {
  return {named<Format>("format", format, kFormats), named<Heads>("heads", heads, kHeads)};
}

/// None stands for a head that is not known.
std::optional<int32_t> none_or(int32_t number) {
  return number == kNone ? std::nullopt : std::optional(number);
}

int32_t head_from(std::optional<int32_t> head) {
  check<ArgumentError>(!head || *head >= 0, "head", "must not be negative, got ", head.value_or(0));
  return head.value_or(kNone);
}

/// Heads of the words 1, 2, ... with the root's before them.
std::vector<int32_t> with_root(const std::vector<std::optional<int32_t>>& heads) {
  std::vector<int32_t> all{kNone};
  for (const std::optional<int32_t> head : heads) all.push_back(head.value_or(kNone));
  return all;
}

using Iterable = SentenceIterable;
using Text = py::typing::Union<py::str, py::bytes>;

// --- sentences --------------------------------------------------------------------------------

void bind_word(py::module_& m) {
  py::class_<Word>(m, "Word", R"doc(A word of a treebank: the columns of its line. It never changes.

``"_"`` stands for what is not given. ``head`` is the head's number (words count from 1), 0 for the
root, None where it is not known.
)doc")
      .def(py::init([](std::string form, std::string lemma, std::string upos, std::string xpos,
                       std::string feats, std::optional<int32_t> head, std::string deprel,
                       std::string deps, std::string misc) {
             return Word{std::move(form),   std::move(lemma), std::move(upos),
                         std::move(xpos),   std::move(feats), head_from(head),
                         std::move(deprel), std::move(deps),  std::move(misc)};
           }),
           py::arg("form"), py::kw_only(), py::arg("lemma") = "_", py::arg("upos") = "_",
           py::arg("xpos") = "_", py::arg("feats") = "_", py::arg("head") = py::none(),
           py::arg("deprel") = "_", py::arg("deps") = "_", py::arg("misc") = "_")
      .def_readonly("form", &Word::form, "The word as it is written.")
      .def_readonly("lemma", &Word::lemma, "Its base form.")
      .def_readonly("upos", &Word::upos, "Universal tag; CPOSTAG of CoNLL-X.")
      .def_readonly("xpos", &Word::xpos, "The treebank's own tag; POSTAG of CoNLL-X.")
      .def_readonly("feats", &Word::feats, "Morphology, name=value divided by \"|\".")
      .def_property_readonly(
          "head", [](const Word& word) { return none_or(word.head); },
          "The head's number, 0 for the root, None where it is not known.")
      .def_readonly("deprel", &Word::deprel, "The relation to the head.")
      .def_readonly("deps", &Word::deps, "Enhanced dependencies; PHEAD of CoNLL-X.")
      .def_readonly("misc", &Word::misc, "Anything else; PDEPREL of CoNLL-X.")
      .def(
          "__eq__", [](const Word& a, const Word& b) { return a == b; }, py::is_operator())
      .def("__hash__", [](const Word& word) { return std::hash<std::string>()(word.form); })
      .def("__repr__", [](const Word& word) {
        const std::string head = word.head == kNone ? "_" : std::to_string(word.head);
        return "Word(" + py::repr(py::str(word.form)).cast<std::string>() + " " + word.upos + " " +
               word.deprel + " of " + head + ")";
      });
}

Sentence make_sentence(std::vector<std::variant<Word, std::string>> words,
                       std::vector<std::string> comments,
                       const std::vector<std::pair<int32_t, std::string>>& extras) {
  Sentence sentence{std::move(comments), {}, {}};
  for (auto& word : words)
    sentence.words.push_back(std::holds_alternative<Word>(word)
                                 ? std::move(std::get<Word>(word))
                                 : Word{.form = std::move(std::get<std::string>(word))});
  for (const auto& [after, line] : extras) sentence.extras.push_back({after, line});
  return sentence;
}

Sentence with_tree(Sentence sentence, const std::vector<std::optional<int32_t>>& heads,
                   const std::vector<std::string>& deprels) {
  const size_t n = sentence.words.size();
  check<ArgumentError>(heads.size() == n && deprels.size() == n, "with_tree", "there must be ", n,
                       " heads and deprels, there are ", heads.size(), " and ", deprels.size());
  for (size_t i = 0; i < n; ++i) {
    sentence.words[i].head = head_from(heads[i]);
    sentence.words[i].deprel = deprels[i];
  }
  return sentence;
}

std::string text_of(const Sentence& sentence) {
  std::string text(sentence.note("text"));
  if (!text.empty()) return text;
  for (const Word& word : sentence.words) (text += text.empty() ? "" : " ") += word.form;
  return text;
}

template <class Get>
auto column(const Sentence& sentence, const Get& get) {
  std::vector<std::decay_t<decltype(get(sentence.words[0]))>> values;
  for (const Word& word : sentence.words) values.push_back(get(word));
  return values;
}

void bind_sentence(py::module_& m) {
  py::class_<Sentence>(m, "Sentence", R"doc(A sentence of a treebank. It never changes.

Args:
    words: each a :class:`Word`, or its form.
    comments: lines, each beginning with "#".
    extras: (after, line) of lines that are no words, multi-word tokens ("3-4") and empty nodes
        ("8.1"), in their order: ``after`` is the number of the word that the line follows.
)doc")
      .def(py::init(&make_sentence), py::arg("words"), py::arg("comments") = py::tuple(),
           py::arg("extras") = py::tuple())
      .def_property_readonly(
          "words", [](const Sentence& s) { return s.words; }, "A list of its words.")
      .def_property_readonly(
          "comments", [](const Sentence& s) { return s.comments; }, "Lines that begin with \"#\".")
      .def_property_readonly(
          "extras",
          [](const Sentence& s) {
            std::vector<std::pair<int32_t, std::string>> extras;
            for (const Extra& extra : s.extras) extras.emplace_back(extra.after, extra.line);
            return extras;
          },
          "(after, line) of lines that are no words: multi-word tokens and empty nodes.")
      .def_property_readonly(
          "forms",
          [](const Sentence& s) { return column(s, [](const Word& word) { return word.form; }); },
          "The words as they are written.")
      .def_property_readonly(
          "heads",
          [](const Sentence& s) {
            return column(s, [](const Word& word) { return none_or(word.head); });
          },
          "The heads' numbers, 0 for the root, None where it is not known.")
      .def_property_readonly(
          "deprels",
          [](const Sentence& s) { return column(s, [](const Word& word) { return word.deprel; }); },
          "The relations to the heads.")
      .def_property_readonly("text", &text_of, "Its comment \"text\", or the forms, with spaces.")
      .def(
          "note",
          [](const Sentence& s, const std::string& key) { return std::string(s.note(key)); },
          py::arg("key"), "What follows \"# key = \" in a comment; \"\" if there is none.")
      .def("with_tree", &with_tree, py::arg("heads"), py::arg("deprels"),
           "A copy with other heads (None: not known) and relations, one a word.")
      .def("to_conllu", &to_conllu,
           "Its lines, with the empty one after it. ArgumentError for what would not be read "
           "again: an empty column, a tab or a line break inside.")
      .def(
          "__len__", [](const Sentence& s) { return s.words.size(); }, "Number of words.")
      .def(
          "__eq__", [](const Sentence& a, const Sentence& b) { return a == b; }, py::is_operator())
      .def("__hash__", [](const Sentence& s) { return std::hash<std::string>()(text_of(s)); })
      .def(
          "_repr_html_",
          [](const py::object& self) -> py::str {
            return py::module_::import("normlab.viz").attr("tree")(self).attr("_repr_html_")();
          },
          "Its tree, drawn.")
      .def("__repr__", [](const Sentence& s) {
        return "Sentence(" + std::to_string(s.words.size()) +
               " words: " + py::repr(py::str(text_of(s))[py::slice(0, 60, 1)]).cast<std::string>() +
               ")";
      });
}

// --- files ------------------------------------------------------------------------------------

/// Lines of a Python iterator, none taken before it is needed.
class PythonLines {
 public:
  explicit PythonLines(const py::object& lines) {
    check<DtypeError>(!PyUnicode_Check(lines.ptr()) && !PyBytes_Check(lines.ptr()), "Reader",
                      "lines must be an iterable of lines, such as an open file, got ",
                      Py_TYPE(lines.ptr())->tp_name);
    iterator_ = py::iter(lines);
  }
  bool operator()(std::string& out) const {
    const auto line = py::reinterpret_steal<py::object>(PyIter_Next(iterator_.ptr()));
    if (PyErr_Occurred() != nullptr) throw py::error_already_set();
    if (!line) return false;
    out = bytes_of("Reader", "lines", line);
    if (out.ends_with('\n')) out.pop_back();
    return true;
  }

 private:
  py::object iterator_;
};

Reader make_reader(const py::typing::Iterable<Text>& lines, std::string name,
                   const std::string& format, const std::string& heads) {
  return Reader(PythonLines(lines), std::move(name), read_options(format, heads));
}

Sentence next_of(Reader& reader) {
  Sentence sentence;
  if (!reader.next(sentence)) throw py::stop_iteration();
  return sentence;
}

std::vector<Sentence> from_conllu(const Text& text, const std::string& name,
                                  const std::string& format, const std::string& heads) {
  return without_gil([&, bytes = bytes_of("from_conllu", "text", text)] {
    std::istringstream in(bytes);
    Reader reader(in, name, read_options(format, heads));
    std::vector<Sentence> all;
    for (Sentence sentence; reader.next(sentence);) all.push_back(sentence);
    return all;
  });
}

void bind_files(py::module_& m) {
  py::class_<Reader>(m, "Reader", R"doc(Reads sentences one by one from lines of text.

An iterator of :class:`Sentence`. Lines are taken as they are needed and memory is bounded by one
sentence, so text may have any length. Lines may end with LF or CR LF, the text may begin with a
byte order mark and end without the last empty line; further empty lines are passed over, and a line
of only spaces and tabs is an empty one. But for these, a sentence's ``to_conllu()`` is what was
read. A line may have 1 MiB, a sentence 100,000 lines and 16 MiB.

Args:
    lines: an iterable of str or bytes (UTF-8), such as an open file.
    name: what errors call the text.
    format: "conllu" (Universal Dependencies), or "conllx" (the shared task of 2006: CPOSTAG is
        upos, POSTAG xpos, PHEAD deps, PDEPREL misc).
    heads: what they must be: a "tree" with one root; a "forest", with one root or more; "any": 0,
        a word, or "_" for not known, for text that waits to be parsed.

Raises:
    FileError: a broken line or tree: name, line number and reason. Nothing can be read after it
        unless :meth:`skip` passes over it.
)doc")
      .def(py::init(&make_reader), py::arg("lines"), py::kw_only(), py::arg("name") = "lines",
           py::arg("format") = "conllu", py::arg("heads") = "tree")
      .def("__iter__", [](const Self& self) { return self; })
      .def("__next__", &next_of)
      .def("skip", &Reader::skip,
           "After a sentence was refused: passes over the rest of it, so that the one after it "
           "comes next. False, without doing anything, unless it was the text that was refused, "
           "and not the lines that could not be taken.");
  m.def(
      "read_conllu",
      [](const std::filesystem::path& path, const std::string& format, const std::string& heads) {
        return read_conllu(path.string(), read_options(format, heads));
      },
      py::arg("path"), py::kw_only(), py::arg("format") = "conllu", py::arg("heads") = "tree",
      ReleaseGil(),
      "All sentences of a file. Arguments and errors as :class:`Reader` has them; FileError names "
      "the path.");
  m.def("from_conllu", &from_conllu, py::arg("text"), py::kw_only(), py::arg("name") = "text",
        py::arg("format") = "conllu", py::arg("heads") = "tree",
        "All sentences of a text in memory, str or bytes (UTF-8). As :class:`Reader`.");
  m.def(
      "write_conllu",
      [](const std::filesystem::path& path, const Iterable& sentences) {
        const SentenceList list("write_conllu", sentences);
        without_gil([&] { write_conllu(path.string(), list.all()); });
      },
      py::arg("path"), py::arg("sentences"),
      "Writes a file whole or not at all. FileError with path and reason; ArgumentError as "
      ":meth:`Sentence.to_conllu`.");
}

// --- trees and transitions --------------------------------------------------------------------

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
      "or the heads of its words 1, 2, ... as a list.");
  def_for_heads(m, "is_projective", &is_projective,
                "Whether every head reaches over its own descendants only. A Sentence or a list of "
                "heads; ArgumentError for a cycle.");
  def_for_heads(m, "nonprojective_words", &nonprojective_words,
                "Numbers of the words whose heads reach over a word that is not a descendant of "
                "the head. A Sentence or a list of heads; ArgumentError for a cycle.");
  def_for_heads(
      m, "oracle", &action_names,
      "The actions \"shift\", \"left_arc\" and \"right_arc\" that build a tree, an arc as "
      "soon as it may be made. A Sentence or a list of heads; ArgumentError if it is "
      "no projective tree with one root.");
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
          "What is legal: \"shift\", \"arcs\" (between words), \"any\" of both, \"root\" (the arc "
          "from the root), or \"none\".")
      .def_property_readonly("done", &State::done, "Whether the tree is complete.")
      .def("shift", &State::shift, "ArgumentError unless it is legal, here and below.")
      .def("left_arc", &State::left_arc, py::arg("label") = 0)
      .def("right_arc", &State::right_arc, py::arg("label") = 0)
      .def("__len__", &State::words, "Number of words.")
      .def("__repr__", [](const State& state) {
        return "State(" + std::to_string(state.stack_size() - 1) + " words on the stack, " +
               std::to_string(state.buffer_size()) + " in the buffer)";
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

// --- vocabulary -------------------------------------------------------------------------------

VocabularyOptions vocabulary_options(int64_t least, bool lower, bool digits,
                                     const std::string& tag) {
  return {least, lower, digits, named<Tags>("tag", tag, kTags)};
}

void bind_vocabulary(py::module_& m) {
  py::class_<Vocabulary>(m, "Vocabulary", R"doc(Words, tags and labels as the rows of one table.

First null, root, unknown and the words, then null, root, unknown and the tags, then null and the
labels; the most frequent come first, equals by their bytes.

Args:
    words, tags, labels: in the order of their rows.
    root: the label of the root's arc.
    least: words that occur less often in a treebank are unknown.
    lower: words in lower case (Latin, Greek and Cyrillic letters).
    digits: every digit of a word as 0.
    tag: the column that is a word's tag: "upos", "xpos" or "both".

Raises:
    ArgumentError: an entry that is empty, that no file could hold, or comes twice; a root that is
        not a label; least below 1.
)doc")
      .def(py::init([](std::vector<std::string> words, std::vector<std::string> tags,
                       std::vector<std::string> labels, const std::string& root, int64_t least,
                       bool lower, bool digits, const std::string& tag) {
             return Vocabulary(std::move(words), std::move(tags), std::move(labels), root,
                               vocabulary_options(least, lower, digits, tag));
           }),
           py::arg("words"), py::arg("tags"), py::arg("labels"), py::arg("root"), py::kw_only(),
           py::arg("least") = 2, py::arg("lower") = true, py::arg("digits") = true,
           py::arg("tag") = "upos")
      .def_static(
          "of",
          [](const Iterable& sentences, int64_t least, bool lower, bool digits,
             const std::string& tag) {
            const SentenceList list("Vocabulary.of", sentences);
            const VocabularyOptions options = vocabulary_options(least, lower, digits, tag);
            return without_gil([&] { return Vocabulary::of(list.all(), options); });
          },
          py::arg("sentences"), py::kw_only(), py::arg("least") = 2, py::arg("lower") = true,
          py::arg("digits") = true, py::arg("tag") = "upos",
          "Of a treebank: all its tags and labels, and the words that occur at least ``least`` "
          "times. The root's label is the most frequent one of words with head 0; ArgumentError if "
          "there is none.")
      .def_property_readonly(
          "words", [](const Vocabulary& v) { return v.words(); }, "All but the special ones.")
      .def_property_readonly(
          "tags", [](const Vocabulary& v) { return v.tags(); }, "All but the special ones.")
      .def_property_readonly(
          "labels", [](const Vocabulary& v) { return v.labels(); }, "All but null.")
      .def_property_readonly(
          "root", [](const Vocabulary& v) { return v.root(); }, "The label of the root's arc.")
      .def_property_readonly(
          "least", [](const Vocabulary& v) { return v.options().least; }, "As it was given.")
      .def_property_readonly(
          "lower", [](const Vocabulary& v) { return v.options().lower; }, "As it was given.")
      .def_property_readonly(
          "digits", [](const Vocabulary& v) { return v.options().digits; }, "As it was given.")
      .def_property_readonly(
          "tag", [](const Vocabulary& v) { return name_in(kTags, v.options().tags); },
          "As it was given.")
      .def_property_readonly("transitions", &Vocabulary::transitions, "Those of its labels.")
      .def_property_readonly("tags_begin", &Vocabulary::tags_begin, "First row of the tags.")
      .def_property_readonly("labels_begin", &Vocabulary::labels_begin, "First row of the labels.")
      .def(
          "word_id", [](const Vocabulary& v, const std::string& form) { return v.word_id(form); },
          py::arg("form"), "Row of a word.")
      .def("tag_id", &Vocabulary::tag_id, py::arg("word"), "Row of a :class:`Word`'s tag.")
      .def(
          "label",
          [](const Vocabulary& v, const std::string& deprel) { return none_or(v.label(deprel)); },
          py::arg("deprel"), "Number of a label, from 0, not its row; None if it is not there.")
      .def("name", &Vocabulary::name, py::arg("row"),
           "What a row stands for: \"<null>\", \"<root>\", \"<unknown>\" or the entry. RangeError "
           "outside.")
      .def("__len__", &Vocabulary::size, "Number of rows.")
      .def("__repr__", [](const Vocabulary& v) {
        return "Vocabulary(" + std::to_string(v.words().size()) + " words, " +
               std::to_string(v.tags().size()) + " tags, " + std::to_string(v.labels().size()) +
               " labels)";
      });
}

// --- features, examples, scores ---------------------------------------------------------------

Tensor features_of(const Vocabulary& vocabulary, const Sentence& sentence, const State& state) {
  check<ArgumentError>(state.words() == static_cast<int64_t>(sentence.words.size()), "features",
                       "the state must be of the sentence's ", sentence.words.size(),
                       " words, is of ", state.words());
  Tensor rows = Tensor::empty({kFeatures}, DType::int32);
  features(state, vocabulary.ids(sentence), vocabulary.labels_begin(), rows.data<int32_t>());
  return rows;
}

void bind_examples(py::module_& m) {
  m.def("features", &features_of, py::arg("vocabulary"), py::arg("sentence"), py::arg("state"),
        R"doc(The 48 features of Chen and Manning (2014), int32 ``(48,)``: rows of the vocabulary.

The words s3 s2 s1 of the stack and b1 b2 b3 of the buffer, then, first of s1 and then of s2,
leftmost and rightmost child, second of both, leftmost child of the leftmost, rightmost of the
rightmost: 18 words, the tags of these 18, and the labels of the 12 children.
)doc");
  py::class_<Examples>(m, "Examples", "What :func:`examples` found in a treebank.")
      .def_property_readonly(
          "features", [](const Examples& e) { return e.features; },
          "int32 ``(N, 48)``: rows of the vocabulary.")
      .def_property_readonly(
          "classes", [](const Examples& e) { return e.classes; },
          "int64 ``(N,)``: the oracle's transitions.")
      .def_property_readonly(
          "moves", [](const Examples& e) { return e.moves; },
          "uint8 ``(N,)``: what was legal, rows of ``Transitions.masks()``.")
      .def_readonly("trees", &Examples::trees, "Number of trees that examples are of.")
      .def_readonly("nonprojective", &Examples::nonprojective,
                    "Trees left out, since no transitions build them.")
      .def_readonly("unusable", &Examples::unusable,
                    "Others left out: not one root, a label that is not in the vocabulary, the "
                    "root's label elsewhere or another one at the root.")
      .def(
          "__len__", [](const Examples& e) { return e.classes.numel(); }, "Number of examples.")
      .def("__repr__", [](const Examples& e) {
        return "Examples(" + std::to_string(e.classes.numel()) + " of " + std::to_string(e.trees) +
               " trees, left out: " + std::to_string(e.nonprojective) + " not projective, " +
               std::to_string(e.unusable) + " unusable)";
      });
  m.def(
      "examples",
      [](const Iterable& sentences, const Vocabulary& vocabulary) {
        const SentenceList list("examples", sentences);
        return without_gil([&] { return examples(list.all(), vocabulary); });
      },
      py::arg("sentences"), py::arg("vocabulary"),
      "Every step of the oracle on the way to every tree, sentence by sentence, over all cores; "
      "the same for any number of threads. ArgumentError naming sentence and word for a cycle or a "
      "head that is not known.");
}

void bind_score(py::module_& m) {
  py::class_<Score>(m, "Score", "How many heads and relations are right.")
      .def_readonly("words", &Score::words, "Number of words that count.")
      .def_readonly("heads", &Score::heads, "Of them with the right head.")
      .def_readonly("relations", &Score::relations, "Of these with the right relation.")
      .def_property_readonly("uas", &Score::uas, "Unlabelled attachment score in per cent.")
      .def_property_readonly("las", &Score::las, "Labelled attachment score in per cent.")
      .def("__repr__", [](const Score& score) {
        return py::str("Score(uas={:.2f}, las={:.2f}, {} words)")
            .format(score.uas(), score.las(), score.words)
            .cast<std::string>();
      });
  m.def(
      "score",
      [](const Iterable& gold, const Iterable& predicted, const std::string& convention) {
        const SentenceList right("score", gold), found("score", predicted);
        const auto which = named<Convention>("convention", convention, kConventions);
        return without_gil([&] { return score(right.all(), found.all(), which); });
      },
      py::arg("gold"), py::arg("predicted"), py::kw_only(), py::arg("convention") = "conll18",
      R"doc(Compares the trees of sentences with the right ones.

Args:
    gold, predicted: the same words, with heads that are known.
    convention: "conll18": all words, relations without their subtypes ("nsubj:pass" is "nsubj"),
        as the official script of the CoNLL 2018 shared task has it for gold words. "ptb": words
        whose gold tag is "``", "''", ":", "," or "." do not count, as in Chen and Manning (2014);
        the tag is xpos, or upos where that is "_", whose PUNCT does not count either.

Raises:
    ArgumentError: sentences or words that differ, or a head that is not known.
)doc");
}

}  // namespace

std::string bytes_of(const char* op, const char* what, py::handle text) {
  check<DtypeError>(PyUnicode_Check(text.ptr()) || PyBytes_Check(text.ptr()), op, what,
                    " must be str or bytes, got ", Py_TYPE(text.ptr())->tp_name);
  if (PyBytes_Check(text.ptr())) return text.cast<py::bytes>();
  const auto bytes = py::reinterpret_steal<py::bytes>(PyUnicode_AsUTF8String(text.ptr()));
  if (bytes) return bytes;
  const py::error_already_set error;
  fail<ArgumentError>(op, what, " must be text; there is half a surrogate pair at ",
                      error.value().attr("start").cast<py::ssize_t>());
}

void bind_parse(py::module_& parse) {
  bind_word(parse);
  bind_sentence(parse);
  bind_files(parse);
  bind_trees(parse);
  bind_state(parse);
  bind_transitions(parse);
  bind_vocabulary(parse);
  bind_examples(parse);
  bind_score(parse);
  bind_parser(parse);
}

}  // namespace normlab::bindings
