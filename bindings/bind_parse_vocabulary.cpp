#include "parse.h"

namespace normlab::bindings {
namespace {

using namespace normlab::parse;  // NOLINT

constexpr std::array kTags{"upos", "xpos", "both"};

VocabularyOptions vocabulary_options(int64_t least, bool lower, bool digits,
                                     const std::string& tag) {
  return {least, lower, digits, named<Tags>("tag", tag, kTags)};
}

Vocabulary vocabulary_of(const SentenceIterable& sentences, int64_t least, bool lower, bool digits,
                         const std::string& tag) {
  const SentenceList list("Vocabulary.of", sentences);
  const VocabularyOptions options = vocabulary_options(least, lower, digits, tag);
  return without_gil([&] { return Vocabulary::of(list.all(), options); });
}

/// A property: an option as it was given.
template <class Get>
void def_option(py::class_<Vocabulary>& c, const char* name, const Get& get) {
  c.def_property_readonly(
      name, [get](const Vocabulary& v) { return get(v.options()); }, "As it was given.");
}

void bind_lists(py::class_<Vocabulary>& c) {
  c.def_property_readonly("words", &Vocabulary::words, "All but the special ones.")
      .def_property_readonly("tags", &Vocabulary::tags, "All but the special ones.")
      .def_property_readonly("labels", &Vocabulary::labels, "All but null.")
      .def_property_readonly("root", &Vocabulary::root, "The label of the root's arc.")
      .def_property_readonly("transitions", &Vocabulary::transitions,
                             "The transitions of its labels.");
  def_option(c, "least", copied(&VocabularyOptions::least));
  def_option(c, "lower", copied(&VocabularyOptions::lower));
  def_option(c, "digits", copied(&VocabularyOptions::digits));
  def_option(c, "tag", [](const VocabularyOptions& o) { return name_in(kTags, o.tags); });
}

void bind_rows(py::class_<Vocabulary>& c) {
  c.def_property_readonly("tags_begin", &Vocabulary::tags_begin, "First row of the tags.")
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
           "The meaning of a row: \"<null>\", \"<root>\", \"<unknown>\" or the entry. RangeError "
           "outside.")
      .def("__len__", &Vocabulary::size, "Number of rows.");
}

void bind_vocabulary(py::module_& m) {
  py::class_<Vocabulary> c(m, "Vocabulary", R"doc(Words, tags and labels as the rows of one table.

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
)doc");
  c.def(py::init([](std::vector<std::string> words, std::vector<std::string> tags,
                    std::vector<std::string> labels, const std::string& root, int64_t least,
                    bool lower, bool digits, const std::string& tag) {
          return Vocabulary(std::move(words), std::move(tags), std::move(labels), root,
                            vocabulary_options(least, lower, digits, tag));
        }),
        py::arg("words"), py::arg("tags"), py::arg("labels"), py::arg("root"), py::kw_only(),
        py::arg("least") = 2, py::arg("lower") = true, py::arg("digits") = true,
        py::arg("tag") = "upos")
      .def_static(
          "of", &vocabulary_of, py::arg("sentences"), py::kw_only(), py::arg("least") = 2,
          py::arg("lower") = true, py::arg("digits") = true, py::arg("tag") = "upos",
          "Of a treebank: all its tags and labels, and the words that occur at least ``least`` "
          "times. The root's label is the most frequent one of words with head 0; ArgumentError if "
          "there is none.")
      .def("__repr__", [](const Vocabulary& v) {
        return joined("Vocabulary(", v.words().size(), " words, ", v.tags().size(), " tags, ",
                      v.labels().size(), " labels)");
      });
  bind_lists(c);
  bind_rows(c);
}

// --- features and examples --------------------------------------------------------------------

Tensor features_of(const Vocabulary& vocabulary, const Sentence& sentence, const State& state) {
  check<ArgumentError>(state.words() == static_cast<int64_t>(sentence.words.size()), "features",
                       "the state must be of the sentence's ", sentence.words.size(),
                       " words, is of ", state.words());
  Tensor rows = Tensor::empty({kFeatures}, DType::int32);
  features(state, vocabulary.ids(sentence), vocabulary.labels_begin(), rows.data<int32_t>());
  return rows;
}

void bind_features(py::module_& m) {
  m.def("features", &features_of, py::arg("vocabulary"), py::arg("sentence"), py::arg("state"),
        R"doc(The 48 features of Chen and Manning (2014), int32 ``(48,)``: rows of the vocabulary.

The words s3 s2 s1 of the stack and b1 b2 b3 of the buffer, then, first of s1 and then of s2,
leftmost and rightmost child, second of both, leftmost child of the leftmost, rightmost of the
rightmost: 18 words, the tags of these 18, and the labels of the 12 children.

Example:
    >>> sentence = nl.parse.Sentence(["Fish"]).with_tree([0], ["root"])
    >>> vocabulary = nl.parse.Vocabulary.of([sentence])
    >>> nl.parse.features(vocabulary, sentence, nl.parse.State(1)).shape
    (48,)
)doc");
}

void bind_examples(py::module_& m) {
  py::class_<Examples>(m, "Examples", "The result of :func:`examples`.")
      .def_property_readonly("features", copied(&Examples::features),
                             "int32 ``(N, 48)``: rows of the vocabulary.")
      .def_property_readonly("classes", copied(&Examples::classes),
                             "int64 ``(N,)``: the oracle's transitions.")
      .def_property_readonly("moves", copied(&Examples::moves),
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
        return joined("Examples(", e.classes.numel(), " of ", e.trees,
                      " trees, left out: ", e.nonprojective, " not projective, ", e.unusable,
                      " unusable)");
      });
  m.def(
      "examples",
      [](const SentenceIterable& sentences, const Vocabulary& vocabulary) {
        const SentenceList list("examples", sentences);
        return without_gil([&] { return examples(list.all(), vocabulary); });
      },
      py::arg("sentences"), py::arg("vocabulary"),
      "Every step of the oracle on the way to every tree, sentence by sentence, over all cores; "
      "the same for any number of threads. ArgumentError naming sentence and word for a cycle or a "
      "head that is not known.\n\nExample:\n"
      "    >>> trees = [nl.parse.Sentence(['Fish']).with_tree([0], ['root'])]\n"
      "    >>> len(nl.parse.examples(trees, nl.parse.Vocabulary.of(trees)))\n    2");
}

}  // namespace

void bind_vocabularies(py::module_& parse) {
  bind_vocabulary(parse);
  bind_features(parse);
  bind_examples(parse);
}

}  // namespace normlab::bindings
