#include "modules.h"
#include "norm_arguments.h"

namespace normlab::bindings {
namespace {

using text::Classifier;
using text::Model;
using text::Packed;
using text::Vocabulary;

// --- lines ------------------------------------------------------------------------------------

/// Lines of bytes from a function of Python.
class PythonLines {
 public:
  explicit PythonLines(py::function read)
      : lines_([read = std::move(read)](std::string& chunk) {
          chunk = read().cast<std::string>();
          return !chunk.empty();
        }) {}
  bool has_line() const { return lines_.has_line(); }
  py::bytes next() {
    std::string line;
    if (!lines_.next(line)) throw py::stop_iteration();
    text::trim_line(line, is_first_);
    is_first_ = false;
    return line;
  }

 private:
  text::Lines lines_;
  bool is_first_ = true;
};

void bind_lines(py::module_& m) {
  py::class_<PythonLines>(m, "_Lines",
                          "The lines of a text that comes in chunks, as they come: bytes, without "
                          "their ends and a byte order mark. Of a line of more than ``MAX_BYTES`` "
                          "comes only the beginning, which is longer than that.")
      .def(py::init<py::typing::Callable<py::bytes()>>(), py::arg("read"),
           "read: returns the next bytes, none at the end.")
      .def("__iter__", [](const py::object& self) { return self; })
      .def("__next__", &PythonLines::next)
      .def("has_line", &PythonLines::has_line, "True if the next line needs no other chunk.")
      .attr("MAX_BYTES") = text::kMaxLineBytes;
}

// --- words ------------------------------------------------------------------------------------

void bind_words(py::module_& m) {
  m.def("tokenize", &text::tokenize, py::arg("line"), ReleaseGil(),
        R"doc(The words and marks of a line, lower case, as the Penn Treebank cuts them.

Marks stand alone ("good." -> "good" "."), clitics are cut off ("it's" -> "it" "'s", "don't" ->
"do" "n't"), brackets, quotation marks and dashes have one form each. Text that is cut already, and
the treebank's own escapes (-LRB-), come out as raw text does. Letters beyond Latin-1 keep
their case. Bytes are taken as UTF-8.

ArgumentError, naming the byte, for a NUL character or bytes that are not UTF-8.

Example:
    >>> nl.text.tokenize("It's good, isn't it?")
    ['it', "'s", 'good', ',', 'is', "n't", 'it', '?']
)doc");
}

void bind_vocabulary(py::module_& m) {
  py::class_<Vocabulary>(m, "Vocabulary", "Words by number. Number 0 is every word not in it.")
      .def(py::init<std::vector<std::string>>(), py::arg("words") = py::list(), ReleaseGil(),
           "words: in order of their numbers 1, 2, ... ArgumentError for a word that is empty, has "
           "white space, or comes twice.")
      .def_static("of", &Vocabulary::of, py::arg("sentences"), py::arg("least") = 1, ReleaseGil(),
                  "The words that occur at least ``least`` times in lists of words, the most "
                  "frequent first, equals by their bytes.")
      .def("__len__", &Vocabulary::size, "Number of words with the unknown one.")
      .def(
          "__contains__",
          [](const Vocabulary& v, const std::string& word) {
            return v.number(word) != Vocabulary::kUnknown;
          },
          py::arg("word"))
      .def(
          "number", [](const Vocabulary& v, const std::string& word) { return v.number(word); },
          py::arg("word"), "Its number, 0 if it is not there.")
      .def("word", &Vocabulary::word, py::arg("number"), "\"<unk>\" for 0. RangeError outside.")
      .def("words", &Vocabulary::words, "All but the unknown one, in order.")
      .def("__repr__", [](const Vocabulary& v) {
        return joined("Vocabulary(", v.size(), " words with <unk>)");
      });
}

// --- batches ----------------------------------------------------------------------------------

using Sentences = py::typing::Iterable<py::typing::Iterable<py::int_>>;

Packed pack(const Sentences& sentences) {
  std::vector<std::vector<int64_t>> lists;
  for (const py::handle sentence : sentences) {
    std::optional<std::vector<int64_t>> numbers;
    if (!PyIndex_Check(sentence.ptr()) || PySequence_Check(sentence.ptr()))
      numbers = integers_from(sentence);
    check<DtypeError>(numbers.has_value(), "pack", "each sentence must be a sequence of ints, ",
                      "sentence ", lists.size(), " is ",
                      std::string(py::repr(sentence)).substr(0, 80));
    lists.push_back(std::move(*numbers));
  }
  return without_gil([&] { return text::pack(lists); });
}

void bind_packed(py::module_& m) {
  py::class_<Packed>(m, "Packed",
                     R"doc(Sentences of any lengths, one after the other without padding.

Sentence i is ``tokens[offsets[i]:offsets[i + 1]]``; empty ones are allowed. ``len()`` counts
sentences.
)doc")
      .def(py::init([](const Tensor& tokens, const Tensor& offsets) {
             check(offsets.rank() == 1 && offsets.numel() > 0, "Packed",
                   "offsets must be [S + 1], got ", offsets.shape());
             return Packed{tokens, offsets};
           }),
           py::arg("tokens"), py::arg("offsets"),
           "tokens: int64 ``(T,)``, numbers of words. offsets: int64 ``(S + 1,)``, from 0 to T.")
      .def_property_readonly("tokens", copied(&Packed::tokens), "int64 ``(T,)``: numbers of words.")
      .def_property_readonly("offsets", copied(&Packed::offsets),
                             "int64 ``(S + 1,)``: where sentences begin.")
      .def("__len__", &Packed::size)
      .def(
          "to",
          [](const Packed& p, const std::string& device) {
            return without_gil([&] { return p.to(device_named(device)); });
          },
          py::arg("device"),
          "A copy on ``\"cpu\"`` or ``\"cuda\"``. DeviceError if there is no GPU.")
      .def("__repr__", [](const Packed& p) {
        return joined("Packed(", p.size(), " sentences, ", p.tokens.numel(), " tokens)");
      });
}

void bind_batches(py::module_& m) {
  m.def("pack", &pack, py::arg("sentences"),
        "Packs sequences of word numbers (lists, arrays), in order.\n\nExample:\n"
        "    >>> nl.text.pack([[4, 2], [], [7]]).offsets.tolist()\n    [0, 2, 2, 3]");
  m.def(
      "take", [](const Packed& sentences, const Tensor& index) { return take(sentences, index); },
      py::arg("sentences"), py::arg("index"), ReleaseGil(),
      "The packed sentences of these numbers, int64 ``(n,)``, in that order. RangeError outside."
      "\n\nExample:\n"
      "    >>> nl.text.take(nl.text.pack([[4, 2], [7]]), nl.tensor([1, 0])).tokens.tolist()\n"
      "    [7, 4, 2]");
  m.def(
      "token_batches",
      [](const Tensor& lengths, int64_t tokens, int64_t bucket, MaybeGenerator g) {
        return text::token_batches(lengths, tokens, bucket, chosen(g));
      },
      py::arg("lengths"), py::arg("tokens"), py::arg("bucket") = 4, py::kw_only(),
      py::arg("generator") = py::none(), ReleaseGil(),
      R"doc(Cuts sentences into batches of about the same length by token count.

Shuffled, sorted by length in steps of ``bucket`` tokens, cut, and the batches shuffled.

Args:
    lengths: int64 ``(S,)``.
    tokens: the most tokens of a batch; a longer sentence is a batch of its own.
    bucket: lengths that differ by less may be shuffled.
    generator: a Generator; None: this thread's random numbers.

Returns:
    the sentences' numbers, an int64 tensor a batch; every sentence comes once.

Raises:
    ArgumentError: a negative length, tokens or bucket below 1.

Example:
    >>> lengths = nl.tensor([3, 1, 2])
    >>> batches = nl.text.token_batches(lengths, tokens=3, generator=nl.Generator(0))
    >>> [batch.tolist() for batch in batches]
    [[2, 1], [0]]
)doc");
}

// --- classifier -------------------------------------------------------------------------------

template <class M>
std::shared_ptr<M> make_classifier(const NormSettings& settings, int64_t vocabulary,
                                   int64_t classes, int64_t size, int64_t heads, int64_t hidden,
                                   int64_t layers, double position_scale, double dropout,
                                   bool pre_norm, Activation activation, const std::string& norm,
                                   DType dtype) {
  return std::make_shared<M>(text::ClassifierOptions{
      vocabulary,
      classes,
      position_scale,
      {size, heads, hidden, layers, dropout, pre_norm, activation, {norm, settings}},
      dtype});
}

void bind_classifier(py::module_& m) {
  auto c = module_class<Classifier, nn::Module>(m, "Classifier",
                                                R"doc(The Transformer classifier of sentences.

Embedding + positions -> Transformer encoder -> mean over the words -> linear. Positions are the
sines of Vaswani et al. (2017), so sentences may have any length. But for rounding, the logits of a
sentence do not depend on its company; one without words gets those of a zero vector.
)doc");
  def_with_norm_settings(
      c,
      py::init(with_norm_settings(&make_classifier<Classifier>),
               with_norm_settings(&make_classifier<Trampoline<Classifier>>)),
      py::arg("vocabulary"), py::arg("classes") = 2, py::arg("size") = 128, py::arg("heads") = 4,
      py::arg("hidden") = 512, py::arg("layers") = 4, py::kw_only(),
      py::arg("position_scale") = 1.0, py::arg("dropout") = 0.1, py::arg("pre_norm") = true,
      py::arg("activation") = "relu", py::arg("norm") = "layernorm",
      py::arg("dtype") = DType::float32,
      "vocabulary: its words with the unknown one. position_scale: amplitude of the sines. "
      "dtype: what the encoder's activations are stored as, float32 or bfloat16; "
      "parameters and logits stay float32, and it is not saved. The rest as in "
      "nl.nn.TransformerEncoder.");
  c.def(
      "forward", [](Classifier& m, const Packed& sentences) { return m.forward(sentences); },
      py::arg("sentences"), ReleaseGil(),
      "Logits ``(S, classes)`` of packed sentences, or ``(classes,)`` of one, int64 ``(T,)``. "
      "RangeError for a token that is not in the vocabulary.");
  c.def(
      "forward", [](Classifier& m, const Tensor& tokens) { return m.Classifier::forward(tokens); },
      py::arg("tokens"), ReleaseGil());
  bind_arguments<Classifier>(c, [](const Classifier& m) {
    using namespace py::literals;
    const auto& o = m.options();
    py::dict arguments = transformer_arguments(o.encoder);
    arguments.attr("update")(py::dict("vocabulary"_a = o.vocabulary, "classes"_a = o.classes,
                                      "position_scale"_a = o.position_scale,
                                      "dtype"_a = std::string(name_of(o.dtype))));
    return arguments;
  });
  c.def("extra_repr", [](const Classifier& m) {
    return joined("vocabulary=", m.options().vocabulary, ", classes=", m.options().classes);
  });
}

// --- model ------------------------------------------------------------------------------------

void bind_model(py::module_& m) {
  py::class_<Model>(m, "Model", R"doc(A trained classifier with all that it takes to label a line.

Args:
    classifier: the :class:`Classifier`.
    vocabulary: its :class:`Vocabulary`.
    labels: a name for each class.
    notes: free text that goes along in the file, str to str: task, scores, ...
)doc")
      .def(py::init([](std::shared_ptr<Classifier> classifier, const Vocabulary& vocabulary,
                       std::vector<std::string> labels, Metadata notes) {
             return Model{std::move(classifier), vocabulary, std::move(labels), std::move(notes)};
           }),
           py::arg("classifier").none(false), py::arg("vocabulary"), py::arg("labels"),
           py::arg("notes") = py::dict())
      .def_property_readonly("classifier", copied(&Model::classifier), "The classifier.")
      .def_readonly("vocabulary", &Model::vocabulary, "The vocabulary.")
      .def_readonly("labels", &Model::labels, "A name for each class.")
      .def_readonly("notes", &Model::notes, "A copy of the notes.")
      .def("logits", &Model::logits, py::arg("lines"), ReleaseGil(),
           R"doc(Logits ``(n, classes)`` of n lines of text, without gradients, dropout off.

Those of a line do not depend on the others, to the last bit. ArgumentError for a line that is not
text, with its number, and for a vocabulary or labels that are not the classifier's.
)doc")
      .def(
          "label", [](const Model& model, const std::string& line) { return model.label(line); },
          py::arg("line"), ReleaseGil(), "(logits ``(classes,)``, label) of a line.")
      .def("__repr__", [](const Model& model) {
        return joined("Model(", model.labels.size(), " labels, ", model.vocabulary.size(),
                      " words)");
      });
}

}  // namespace

void bind_text(py::module_& m) {
  bind_lines(m);
  bind_words(m);
  bind_vocabulary(m);
  bind_packed(m);
  bind_batches(m);
  bind_classifier(m);
  bind_model(m);
  bind_model_files(m, &text::load_model, "vocabulary, labels, settings",
                   "a vocabulary or labels that are not the classifier's",
                   R"doc(    >>> words = nl.text.Vocabulary(['good', 'bad'])
    >>> net = nl.text.Classifier(len(words), size=8, heads=2, layers=1)
    >>> model = nl.text.Model(net, words, ['no', 'yes'])
)doc",
                   "Model(2 labels, 3 words)");
}

}  // namespace normlab::bindings
