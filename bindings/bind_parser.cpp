#include "norm_arguments.h"
#include "parse.h"

// The networks of nl.parse and what is made of them: tagger, model, parser.

namespace normlab::bindings {
namespace {

using namespace normlab::parse;  // NOLINT

using Strings = std::vector<std::string>;

// --- tagger -----------------------------------------------------------------------------------

Tensor tag_features(const TagVocabulary& vocabulary, const Sentence& sentence) {
  const std::vector<int32_t> rows = vocabulary.features(sentence);
  return Tensor::of<int32_t>({static_cast<int64_t>(sentence.words.size()), kTagFeatures}, rows);
}

void bind_tags(py::module_& m) {
  py::class_<TagVocabulary>(m, "TagVocabulary",
                            R"doc(Words, affixes and shapes as the rows of the tagger's table.

First null, unknown and the words, then null, unknown and the affixes, then null and the shapes;
words and affixes in lower case, with digits as 0. A tag is UPOS, "|" and XPOS.

Args:
    words, affixes, tags: in the order of their numbers.

Raises:
    ArgumentError: no tags, one without "|", an entry that is empty or comes twice.
)doc")
      .def(py::init<Strings, Strings, Strings>(), py::arg("words"), py::arg("affixes"),
           py::arg("tags"))
      .def_static(
          "of",
          [](const SentenceIterable& sentences, int64_t least) {
            const SentenceList list("TagVocabulary.of", sentences);
            return without_gil([&] { return TagVocabulary::of(list.all(), least); });
          },
          py::arg("sentences"), py::kw_only(), py::arg("least") = 2,
          "Of a treebank: its tags, and the words and affixes that occur at least ``least`` times.")
      .def_property_readonly("words", &TagVocabulary::words, "All but the special ones.")
      .def_property_readonly("affixes", &TagVocabulary::affixes,
                             "Prefixes and suffixes, but the special ones.")
      .def_property_readonly("tags", &TagVocabulary::tags, "The classes: UPOS|XPOS.")
      .def("features", &tag_features, py::arg("sentence"),
           "int32 ``(words, 19)``: rows of the words two before to two after each word, of the "
           "shapes of it and its neighbours, of its suffixes of 1 to 4 characters, its neighbours' "
           "of 2 and 3, and its prefixes of 1 to 3.")
      .def("__len__", &TagVocabulary::size, "Number of rows.")
      .def("__repr__", [](const TagVocabulary& v) {
        return joined("TagVocabulary(", v.words().size(), " words, ", v.affixes().size(),
                      " affixes, ", v.tags().size(), " tags)");
      });
}

void bind_tag_examples(py::module_& m) {
  py::class_<TagExamples>(m, "TagExamples", "The result of :func:`tag_examples`.")
      .def_property_readonly("features", copied(&TagExamples::features),
                             "int32 ``(N, 19)``: rows of the vocabulary.")
      .def_property_readonly("classes", copied(&TagExamples::classes), "int64 ``(N,)``: tags.")
      .def(
          "__len__", [](const TagExamples& e) { return e.classes.numel(); }, "Number of words.");
  m.def(
      "tag_examples",
      [](const SentenceIterable& sentences, const TagVocabulary& vocabulary) {
        const SentenceList list("tag_examples", sentences);
        return without_gil([&] { return tag_examples(list.all(), vocabulary); });
      },
      py::arg("sentences"), py::arg("vocabulary"),
      "Every word whose tag is in the vocabulary, in order.\n\nExample:\n"
      "    >>> trees = [nl.parse.Sentence([nl.parse.Word('Fish', upos='NOUN')])]\n"
      "    >>> nl.parse.tag_examples(trees, nl.parse.TagVocabulary.of(trees)).features.shape\n"
      "    (1, 19)");
}

// --- network ----------------------------------------------------------------------------------

template <class M>
std::shared_ptr<M> make_network(const NormSettings& settings, int64_t rows, int64_t classes,
                                int64_t features, int64_t embedding, int64_t hidden,
                                const std::string& activation, double dropout, bool input_norm,
                                const std::string& norm) {
  return std::make_shared<M>(NetworkOptions{rows,
                                            classes,
                                            features,
                                            embedding,
                                            hidden,
                                            hidden_activation_named(activation),
                                            dropout,
                                            input_norm,
                                            {norm, settings}});
}

void bind_network(py::module_& m) {
  auto c = module_class<Network, nn::Module>(m, "Network",
                                             R"doc(The network of Chen and Manning (2014).

48 embeddings -> hidden -> norm -> activation -> dropout -> one logit a transition. The hidden layer
multiplies each distinct feature of a batch once (see nl.feature_linear), but not behind a norm of
the embeddings. Embeddings begin uniform in +-0.01. The tagger is another one, with other features.
)doc");
  def_with_norm_settings(
      c,
      py::init(with_norm_settings(&make_network<Network>),
               with_norm_settings(&make_network<Trampoline<Network>>)),
      py::arg("rows"), py::arg("classes"), py::arg("features") = kFeatures, py::kw_only(),
      py::arg("embedding") = 50, py::arg("hidden") = 512, py::arg("activation") = "relu",
      py::arg("dropout") = 0.5, py::arg("input_norm") = false, py::arg("norm") = "layernorm",
      "rows: of the table, ``len()`` of the vocabulary. classes: of the transitions, or tags. "
      "features: of an example. activation: \"relu\" or \"cube\". dropout: of the hidden layer. "
      "input_norm: the norm on the embeddings of an example as well.");
  c.def(
      "forward", [](Network& n, const Tensor& features) { return n.Network::forward(features); },
      py::arg("features"), ReleaseGil(),
      "int32 ``(N, features) -> (N, classes)``. RangeError for a row that is not there.");
  bind_arguments<Network>(c, [](const Network& n) {
    using namespace py::literals;
    const NetworkOptions& o = n.options();
    py::dict arguments = norm_arguments(o.norm);
    arguments.attr("update")(py::dict(
        "rows"_a = o.rows, "classes"_a = o.classes, "features"_a = o.features,
        "embedding"_a = o.embedding, "hidden"_a = o.hidden, "activation"_a = name_of(o.activation),
        "dropout"_a = o.dropout, "input_norm"_a = o.input_norm, "norm"_a = o.norm.name()));
    return arguments;
  });
  c.def("extra_repr", [](const Network& n) {
    const NetworkOptions& o = n.options();
    return joined("rows=", o.rows, ", classes=", o.classes, ", features=", o.features,
                  ", embedding=", o.embedding, ", hidden=", o.hidden,
                  ", activation=", name_of(o.activation));
  });
}

void bind_loss(py::module_& m) {
  m.def("transition_loss", &transition_loss, py::arg("logits"), py::arg("masks"),
        py::arg("classes"), py::arg("moves"), ReleaseGil(),
        "Mean cross entropy of softmax over the legal transitions: logits ``(N, classes)``, masks "
        "``Transitions.masks()``, classes and moves ``(N,)`` as Examples has them.\n\nExample:\n"
        "    >>> moves = nl.tensor([1], dtype='uint8')  # shift alone\n"
        "    >>> masks = nl.parse.Transitions(labels=2, root=0).masks()\n"
        "    >>> nl.parse.transition_loss(nl.zeros((1, 5)), masks, nl.tensor([0]), moves).item()\n"
        "    0.0");
}

// --- model ------------------------------------------------------------------------------------

Model make_model(std::shared_ptr<Network> network, const Vocabulary& vocabulary,
                 std::optional<std::shared_ptr<Network>> tagger,
                 std::optional<TagVocabulary> tag_vocabulary, Metadata notes) {
  Model model{std::move(network), vocabulary};
  check<ArgumentError>(tagger.has_value() == tag_vocabulary.has_value(), "Model",
                       "tagger and tag_vocabulary must be given both or not at all");
  if (tagger) model.tagger = Tagger{*std::move(tagger), *std::move(tag_vocabulary)};
  model.notes = std::move(notes);
  return model;
}

void bind_model(py::module_& m) {
  py::class_<Model>(m, "Model", R"doc(A trained parser with all that it takes to parse a line.

Args:
    network: the parser's :class:`Network`.
    vocabulary: its :class:`Vocabulary`.
    tagger, tag_vocabulary: the tagger's Network and :class:`TagVocabulary`; without them, sentences
        must have tags.
    notes: free text that goes along in the file, str to str: task, scores, ...
)doc")
      .def(py::init(&make_model), py::arg("network").none(false), py::arg("vocabulary"),
           py::arg("tagger") = py::none(), py::arg("tag_vocabulary") = py::none(),
           py::arg("notes") = py::dict())
      .def_property_readonly("network", copied(&Model::network), "The parser's network.")
      .def_readonly("vocabulary", &Model::vocabulary, "Its vocabulary.")
      .def_property_readonly(
          "tagger",
          [](const Model& model) {
            return model.tagger ? std::optional(model.tagger->network) : std::nullopt;
          },
          "The tagger's network, or None.")
      .def_property_readonly(
          "tag_vocabulary",
          [](const Model& model) {
            return model.tagger ? std::optional(model.tagger->vocabulary) : std::nullopt;
          },
          "A copy of the tagger's vocabulary, or None.")
      .def_readonly("notes", &Model::notes, "A copy of the notes.")
      .def("__repr__", [](const Model& model) {
        return joined("Model(", model.vocabulary.words().size(), " words, ",
                      model.vocabulary.labels().size(), " labels, ",
                      model.tagger ? "with" : "without", " tagger)");
      });
}

// --- parser -----------------------------------------------------------------------------------

std::vector<Sentence> parse_all(const Parser& parser, const SentenceIterable& sentences) {
  const SentenceList list("parse", sentences);
  return without_gil([&] {
    std::vector<Sentence> parsed;
    const Sentences all = list.all();
    parsed.reserve(all.size());
    for (size_t i = 0; i < all.size(); ++i) parsed.push_back(all[i]);
    parser.parse(parsed);
    return parsed;
  });
}

int64_t parse_text(const Parser& parser, const py::typing::Callable<py::bytes()>& read,
                   const py::typing::Callable<void(py::bytes)>& write, const std::string& name,
                   const std::optional<std::string>& format, bool retag,
                   const std::optional<py::typing::Callable<bool()>>& is_ready,
                   const std::optional<py::typing::Callable<bool(py::str)>>& skips,
                   const std::optional<py::typing::Callable<void(py::str)>>& begins) {
  TextSource source;
  TreeSink sink;
  source.name = name;
  // The stream runs without the lock; each call of Python takes it.
  source.read = [&](std::string& chunk) {
    const GilAcquire acquire;
    chunk = bytes_of("parse_stream", "the bytes read", read());
    return !chunk.empty();
  };
  if (is_ready)
    source.is_ready = [&] {
      const GilAcquire acquire;
      return (*is_ready)().cast<bool>();
    };
  sink.write = [&](std::string_view trees) {
    const GilAcquire acquire;
    write(py::bytes(trees));
  };
  if (skips)
    sink.skips = [&](const std::string& error) {
      const GilAcquire acquire;
      return (*skips)(error).cast<bool>();
    };
  if (begins)
    sink.begins = [&](Format format_found) {
      const GilAcquire acquire;
      (*begins)(name_in(kFormats, format_found));
    };
  StreamOptions options{{}, retag};
  if (format) options.format = named<Format>("format", *format, kFormats);
  return without_gil([&] { return parse_stream(parser, source, sink, options); });
}

constexpr const char* kStreamDoc =
    R"doc(Parses a text as it comes, bytes to CoNLL-U, and returns the number of trees written.

Writes all pending trees before it waits for more text and before it raises.

Args:
    read: returns the next bytes of the text, none at its end. It may wait for them.
    write: takes the bytes of whole trees.
    name: the text's name in errors.
    format: as of :class:`Reader`. None: "conllu" for a text that begins so, else "raw".
    retag: finds the tags of CoNLL-U anew.
    is_ready: False where ``read`` would wait. None: it never waits.
    skips: takes the error of a refused sentence; True to go on with the next one, False to raise
        the error. None: raises it.
    begins: called once, before the first sentence, with the format of the text. A text that begins
        as CoNLL-U is "conllu" where ``format`` says "tokenized".

Raises:
    FileError: a broken line or sentence: name, line and reason.
    ArgumentError: a sentence that the parser refuses; text with a line that seems to be a word of
        CoNLL, unless ``format`` is "raw".
)doc";

void bind_parsing(py::module_& m) {
  py::class_<Parser>(m, "Parser", R"doc(Parses greedily, with a copy of a model's weights.

Args:
    model: a :class:`Model`.
    known_words: number of frequent words whose products in the hidden layer are precomputed.
        Affects speed and memory only: 36 KiB a word with 512 hidden units.
    width: sentences that a thread parses side by side. Affects speed only.
)doc")
      .def(py::init([](const Model& model, int64_t known_words, int64_t width) {
             return Parser(model, {known_words, width});
           }),
           py::arg("model"), py::kw_only(), py::arg("known_words") = ParserOptions().known_words,
           py::arg("width") = ParserOptions().width, ReleaseGil())
      .def_property_readonly(
          "model", [](const Parser& parser) { return parser.model(); }, "The model.")
      .def("parse", &parse_all, py::arg("sentences"),
           R"doc(Copies of sentences with the heads and relations that the parser finds.

On all threads; a sentence's tree is the same in any company. Where the parser's tags are not given
("_"), the tagger fills in UPOS and XPOS. ArgumentError for a sentence without words, or without
tags if the model has no tagger.
)doc")
      .def(
          "parse_line",
          [](const Parser& parser, const py::typing::Union<py::str, py::bytes>& line) {
            const std::string bytes = bytes_of("parse_line", "line", line);
            return without_gil([&] { return parser.parse(bytes); });
          },
          py::arg("line"), "The tree of a line of raw text; errors as :func:`sentence_of`.")
      .def("parse_stream", &parse_text, py::arg("read"), py::arg("write"), py::kw_only(),
           py::arg("name") = "text", py::arg("format") = py::none(), py::arg("retag") = false,
           py::arg("is_ready") = py::none(), py::arg("skips") = py::none(),
           py::arg("begins") = py::none(), kStreamDoc)
      .def("__repr__", [](const Parser& parser) {
        return joined("Parser(", parser.model().vocabulary.labels().size(), " labels)");
      });
}

}  // namespace

void bind_parser(py::module_& parse) {
  bind_tags(parse);
  bind_tag_examples(parse);
  bind_network(parse);
  bind_loss(parse);
  bind_model(parse);
  bind_model_files(parse, &load_model, "vocabularies, settings",
                   "a vocabulary that is not its network's",
                   R"doc(    >>> trees = [nl.parse.Sentence(['Fish']).with_tree([0], ['root'])]
    >>> words = nl.parse.Vocabulary.of(trees, least=1)
    >>> model = nl.parse.Model(nl.parse.Network(len(words), classes=3), words)
)doc",
                   "Model(1 words, 1 labels, without tagger)");
  bind_parsing(parse);
}

}  // namespace normlab::bindings
