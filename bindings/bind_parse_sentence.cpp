#include "parse.h"

namespace normlab::bindings {
namespace {

using namespace normlab::parse;  // NOLINT

int32_t head_from(std::optional<int32_t> head) {
  check<ArgumentError>(!head || *head >= 0, "head", "must not be negative, got ", head.value_or(0));
  return head.value_or(kNone);
}

std::string repr(const std::string& text) {
  return py::repr(py::str(text));
}

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
        return joined("Word(", repr(word.form), ' ', word.upos, ' ', word.deprel, " of ", head,
                      ')');
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

/// A property: a list with a value for each word.
template <class Get>
void def_column(py::class_<Sentence>& c, const char* name, const Get& get, const char* doc) {
  const auto values = [get](const Sentence& sentence) {
    std::vector<std::decay_t<decltype(get(sentence.words[0]))>> all;
    for (const Word& word : sentence.words) all.push_back(get(word));
    return all;
  };
  c.def_property_readonly(name, values, doc);
}

void bind_parts(py::class_<Sentence>& c) {
  c.def_property_readonly("words", copied(&Sentence::words), "A list of its words.")
      .def_readonly("comments", &Sentence::comments, "Lines that begin with \"#\".")
      .def_property_readonly(
          "extras",
          [](const Sentence& s) {
            std::vector<std::pair<int32_t, std::string>> extras;
            for (const Extra& extra : s.extras) extras.emplace_back(extra.after, extra.line);
            return extras;
          },
          "(after, line) of lines that are no words: multi-word tokens and empty nodes.");
  def_column(c, "forms", copied(&Word::form), "The words as they are written.");
  def_column(
      c, "heads", [](const Word& word) { return none_or(word.head); },
      "The heads' numbers, 0 for the root, None where it is not known.");
  def_column(c, "deprels", copied(&Word::deprel), "The relations to the heads.");
}

void bind_sentence(py::module_& m) {
  py::class_<Sentence> c(m, "Sentence", R"doc(A sentence of a treebank. It never changes.

Args:
    words: each a :class:`Word`, or its form.
    comments: lines, each beginning with "#".
    extras: (after, line) of lines that are no words, multi-word tokens ("3-4") and empty nodes
        ("8.1"), in their order: ``after`` is the number of the word that the line follows.
)doc");
  c.def(py::init(&make_sentence), py::arg("words"), py::arg("comments") = py::tuple(),
        py::arg("extras") = py::tuple());
  bind_parts(c);
  c.def_property_readonly("text", &text_of, "Its comment \"text\", or the forms, with spaces.")
      .def(
          "note",
          [](const Sentence& s, const std::string& key) { return std::string(s.note(key)); },
          py::arg("key"), "The value of the comment \"# key = value\"; \"\" if there is none.")
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
        const std::string start = py::str(text_of(s))[py::slice(0, 60, 1)].cast<std::string>();
        return joined("Sentence(", s.words.size(), " words: ", repr(start), ')');
      });
}

}  // namespace

void bind_sentences(py::module_& parse) {
  bind_word(parse);
  bind_sentence(parse);
}

}  // namespace normlab::bindings
