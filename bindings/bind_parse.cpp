#include "parse.h"

namespace normlab::bindings {
namespace {

using namespace normlab::parse;  // NOLINT

constexpr std::array kConventions{"conll18", "ptb"};

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
      [](const SentenceIterable& gold, const SentenceIterable& predicted,
         const std::string& convention) {
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

Example:
    >>> gold = nl.parse.Sentence(["Fish", "swim"]).with_tree([2, 0], ["nsubj", "root"])
    >>> nl.parse.score([gold], [gold.with_tree([2, 0], ["obj", "root"])])
    Score(uas=100.00, las=50.00, 2 words)
)doc");
}

}  // namespace

void bind_parse(py::module_& parse) {
  bind_sentences(parse);
  bind_reader(parse);
  bind_transition_system(parse);
  bind_vocabularies(parse);
  bind_score(parse);
  bind_parser(parse);
}

}  // namespace normlab::bindings
