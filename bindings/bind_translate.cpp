#include "modules.h"
#include "norm_arguments.h"

namespace normlab::bindings {
namespace {

using text::Packed;
using translate::Hypothesis;
using translate::Model;
using translate::SearchOptions;
using translate::Subwords;
using translate::Translator;

// --- subwords ---------------------------------------------------------------------------------

void bind_lower_case(py::module_& m) {
  m.def(
      "lower_case", [](const std::string& text) { return translate::lower_case(text); },
      py::arg("text"), ReleaseGil(),
      R"doc(The text with small letters for its capitals, as a model with ``lower`` puts its lines.

Those of the Latin, Greek, Cyrillic and Armenian alphabets that take as many bytes in UTF-8; all
other characters are as they were.

Example:
    >>> nl.translate.lower_case("Zwei MÄNNER")
    'zwei männer'
)doc");
}

void bind_subwords(py::module_& m) {
  auto c = py::class_<Subwords>(
      m, "Subwords", R"doc(A byte-pair encoding, applied piece for piece as SentencePiece does.

Learned by :func:`learn_subwords`, or given. No character is changed (SentencePiece's normalisation
``identity``), so text comes back as it went in, but for spaces: they are part of the pieces, written
as U+2581; one stands before the first word, runs count as one, those at the ends are dropped. Bytes
that are not UTF-8 become U+FFFD each. A run of characters that are in no piece is one unknown piece,
number 0; 1 and 2 mark the begin and the end of a sentence. Source: Sennrich et al. 2016; Kudo and
Richardson 2018.

Args:
    pieces: in order of their numbers 3, 4, ...; those that come first are joined first. ArgumentError
        for one that is empty, is not UTF-8, has a line's end, or comes twice.
)doc");
  c.def(py::init<std::vector<std::string>>(), py::arg("pieces") = py::list(), ReleaseGil());
  c.def("__len__", &Subwords::size, "Number of pieces with the first three.");
  c.def(
      "number", [](const Subwords& s, const std::string& piece) { return s.number(piece); },
      py::arg("piece"), "Its number, 0 if it is not there.");
  c.def("piece", &Subwords::piece, py::arg("number"),
        "``\"<unk>\"``, ``\"<s>\"`` and ``\"</s>\"`` for 0, 1 and 2. RangeError outside.");
  c.def("pieces", &Subwords::pieces, "All but the first three, in order.");
  c.def(
      "split", [](const Subwords& s, const std::string& text) { return s.split(text); },
      py::arg("text"), ReleaseGil(),
      "The pieces of a text (str, or bytes); an unknown one is as in the text.");
  c.def(
      "encode", [](const Subwords& s, const std::string& text) { return s.encode(text); },
      py::arg("text"), ReleaseGil(), "Their numbers, without marks of begin and end.");
  c.def("decode", &Subwords::decode, py::arg("numbers"), ReleaseGil(),
        "The text of these numbers: marks are passed over, an unknown piece is \" \u2047 \". "
        "RangeError for a number outside.");
  c.def("__repr__",
        [](const Subwords& s) { return joined("Subwords(", s.size(), " with the first three)"); });
  c.attr("UNKNOWN") = Subwords::kUnknown;
  c.attr("BEGIN") = Subwords::kBegin;
  c.attr("END") = Subwords::kEnd;
}

// --- network ----------------------------------------------------------------------------------

template <class M>
std::shared_ptr<M> make_translator(const NormSettings& settings, int64_t source_vocabulary,
                                   int64_t target_vocabulary, int64_t size, int64_t heads,
                                   int64_t hidden, int64_t layers, int64_t decoder_layers,
                                   int64_t positions, bool share_embeddings, bool share_output,
                                   double dropout, bool pre_norm, Activation activation,
                                   const std::string& norm) {
  translate::TranslatorOptions options{source_vocabulary, target_vocabulary, positions,
                                       decoder_layers,    share_embeddings,  share_output};
  options.network = {size, heads, hidden, layers, dropout, pre_norm, activation, {norm, settings}};
  return std::make_shared<M>(options);
}

void bind_translator_arguments(
    py::class_<Translator, nn::Module, Trampoline<Translator>, std::shared_ptr<Translator>>& c) {
  bind_arguments<Translator>(c, [](const Translator& m) {
    using namespace py::literals;
    const auto& o = m.options();
    py::dict arguments = transformer_arguments(o.network);
    if (arguments.contains("causal")) arguments.attr("pop")("causal");
    arguments.attr("update")(py::dict(
        "source_vocabulary"_a = o.source_vocabulary, "target_vocabulary"_a = o.target_vocabulary,
        "decoder_layers"_a = o.decoder_layers, "positions"_a = o.positions,
        "share_embeddings"_a = o.share_embeddings, "share_output"_a = o.share_output));
    return arguments;
  });
}

void bind_translator(py::module_& m) {
  auto c = module_class<Translator, nn::Module>(m, "Translator",
                                                R"doc(The Transformer from one language to another.

Subwords + positions -> encoder; subwords so far + positions -> decoder -> linear (Vaswani et al.
2017). Tables begin as normal(0, 1 / D) and are multiplied by sqrt(D); positions are sines. Shared
tables are one parameter, ``target.weight``.
)doc");
  def_with_norm_settings(
      c,
      py::init(with_norm_settings(&make_translator<Translator>),
               with_norm_settings(&make_translator<Trampoline<Translator>>)),
      py::arg("source_vocabulary"), py::arg("target_vocabulary"), py::arg("size") = 128,
      py::arg("heads") = 4, py::arg("hidden") = 512, py::arg("layers") = 4,
      py::arg("decoder_layers") = 4, py::kw_only(), py::arg("positions") = 1024,
      py::arg("share_embeddings") = true, py::arg("share_output") = true, py::arg("dropout") = 0.1,
      py::arg("pre_norm") = true, py::arg("activation") = "relu", py::arg("norm") = "layernorm",
      "Vocabularies: subwords with the first three. layers: of the encoder. positions: the longest "
      "sentence, in subwords with its end. share_embeddings: one table for both languages, which "
      "have one vocabulary. share_output: the projection onto subwords is the target's table. The "
      "rest as in nl.nn.TransformerEncoder.");
  c.def(
      "forward",
      [](Translator& m, const Packed& source, const Packed& target) {
        return m.forward(source, target);
      },
      py::arg("source"), py::arg("target"), ReleaseGil(),
      "Logits ``(T, target_vocabulary)`` of the subword after each of ``target`` "
      "(:class:`normlab.text.Packed`), whose sentences begin with 1; those of ``source`` end with "
      "2. ArgumentError for a sentence of more than ``positions`` subwords, or not as many "
      "sentences.");
  c.def("encode", &Translator::encode, py::arg("source"), ReleaseGil(),
        "The encoder's result ``(M, D)``.");
  c.def("decode", &Translator::decode, py::arg("next"), py::arg("memory"),
        py::arg("memory_offsets"), py::arg("cache"), ReleaseGil(),
        "Logits of the subwords that follow ``next``, the new ones of each sentence, with a "
        ":class:`normlab.nn.KeyValueCache`.");
  bind_translator_arguments(c);
  c.def("extra_repr", [](const Translator& m) {
    return joined("source_vocabulary=", m.options().source_vocabulary,
                  ", target_vocabulary=", m.options().target_vocabulary);
  });
}

// --- search -----------------------------------------------------------------------------------

constexpr char kSearchArguments[] = R"doc(
    beam: beginnings that are kept, 1 to 1000; 1: the most probable subword each time (greedy).
    alpha: exponent of the length penalty.
    penalty: "power": n^alpha for n subwords with the end (fairseq); "gnmt": ((5 + n) / 6)^alpha
        (Wu et al. 2016).
    sentences: at most so many at a time; no result depends on it.
)doc";

SearchOptions search_options(int64_t beam, double alpha, const std::string& penalty,
                             int64_t sentences) {
  return {beam, alpha, translate::length_penalty_named(penalty), sentences};
}

void bind_search(py::module_& m) {
  const std::string doc = std::string(R"doc(The best translation of each sentence, by beam search.

A translation is at most twice as long as its source and 50 subwords more, and has no unknown ones.
A sentence's result does not depend on the others.

Args:
    translator: the :class:`Translator`; dropout is off meanwhile.
    sources: lists of subwords without marks.)doc") +
                          kSearchArguments + R"doc(
Returns:
    (subwords without marks, log probability over the length penalty) of each.

Raises:
    ArgumentError: beam out of range, sentences below 1, or a sentence that is too long, with its
        number.

Example:
    >>> net = nl.translate.Translator(5, 5, size=8, heads=2, layers=1, decoder_layers=1)
    >>> len(nl.translate.search(net, [[3, 4], [4]], beam=2))
    2
)doc";
  m.def(
      "search",
      [](Translator& translator, const std::vector<std::vector<int64_t>>& sources, int64_t beam,
         double alpha, const std::string& penalty, int64_t sentences) {
        std::vector<std::pair<std::vector<int64_t>, double>> found;
        for (Hypothesis& each :
             search(translator, sources, search_options(beam, alpha, penalty, sentences)))
          found.emplace_back(std::move(each.tokens), each.score);
        return found;
      },
      py::arg("translator"), py::arg("sources"), py::kw_only(), py::arg("beam") = 5,
      py::arg("alpha") = 1.0, py::arg("penalty") = "power", py::arg("sentences") = 63, ReleaseGil(),
      doc.c_str());
}

// --- model ------------------------------------------------------------------------------------

void bind_translating(py::class_<Model>& c) {
  const std::string doc =
      std::string(R"doc(The translations of lines of text; an empty line's is empty.

Args:
    lines: str each.)doc") +
      kSearchArguments + R"doc(
Raises:
    ArgumentError: a line that is too long, with its number.
)doc";
  c.def(
      "translate",
      [](const Model& model, const std::vector<std::string>& lines, int64_t beam, double alpha,
         const std::string& penalty, int64_t sentences) {
        return model.translate(lines, search_options(beam, alpha, penalty, sentences));
      },
      py::arg("lines"), py::kw_only(), py::arg("beam") = 5, py::arg("alpha") = 1.0,
      py::arg("penalty") = "power", py::arg("sentences") = 63, ReleaseGil(), doc.c_str());
}

void bind_model(py::module_& m) {
  auto c = py::class_<Model>(m, "Model", R"doc(A trained translator with all that a line takes.

Args:
    translator: the :class:`Translator`.
    source: :class:`Subwords` of the language to translate from.
    target: those of the language to translate into.
    source_language: its name, such as "en".
    target_language: likewise.
    notes: free text that goes along in the file, str to str: task, scores, ...
    lower: it learned from text in :func:`lower_case` alone, so lines are put in it first.
)doc");
  c.def(py::init([](std::shared_ptr<Translator> translator, const Subwords& source,
                    const Subwords& target, std::string source_language,
                    std::string target_language, Metadata notes, bool lower) {
          return Model{
              std::move(translator),      source,           target, std::move(source_language),
              std::move(target_language), std::move(notes), lower};
        }),
        py::arg("translator").none(false), py::arg("source"), py::arg("target"),
        py::arg("source_language"), py::arg("target_language"), py::arg("notes") = py::dict(),
        py::kw_only(), py::arg("lower") = false);
  c.def_property_readonly("translator", copied(&Model::translator), "The translator.");
  c.def_readonly("source", &Model::source, "Subwords of the source.");
  c.def_readonly("target", &Model::target, "Subwords of the target.");
  c.def_readonly("source_language", &Model::source_language, "Its name.");
  c.def_readonly("target_language", &Model::target_language, "Its name.");
  c.def_readonly("notes", &Model::notes, "A copy of the notes.");
  c.def_readonly("lower", &Model::lower, "Whether lines are put in lower case.");
  bind_translating(c);
  c.def("__repr__", [](const Model& model) {
    return joined("Model(", model.source_language, " to ", model.target_language, ", ",
                  model.source.size(), " and ", model.target.size(), " subwords)");
  });
}

}  // namespace

void bind_translate(py::module_& m) {
  bind_lower_case(m);
  bind_subwords(m);
  bind_translator(m);
  bind_search(m);
  bind_model(m);
  bind_model_files(m, &translate::load_model, "subwords, languages, settings",
                   "subwords that are not the translator's",
                   R"doc(    >>> words = nl.translate.Subwords(['a', 'b'])
    >>> net = nl.translate.Translator(5, 5, size=8, heads=2, layers=1, decoder_layers=1)
    >>> model = nl.translate.Model(net, words, words, 'en', 'de')
)doc",
                   "Model(en to de, 5 and 5 subwords)");
}

}  // namespace normlab::bindings
