#include "modules.h"
#include "norm_arguments.h"

namespace normlab::bindings {
namespace {

using language::LanguageModel;
using language::Model;
using language::Vocabulary;
using language::Writer;
using text::Packed;

// --- characters -------------------------------------------------------------------------------

void bind_vocabulary(py::module_& m) {
  py::class_<Vocabulary>(
      m, "Vocabulary", "Characters (code points) by number. Number 0 is every character not in it.")
      .def(py::init<std::string_view>(), py::arg("characters") = "", ReleaseGil(),
           "characters: in order of their numbers 1, 2, ... ArgumentError for NUL and for one that "
           "comes twice.")
      .def_static("of", &Vocabulary::of, py::arg("text"), ReleaseGil(),
                  "The characters of a text, in order of their code points.")
      .def("__len__", &Vocabulary::size, "Number of characters with the unknown one.")
      .def("encode", &Vocabulary::encode, py::arg("text"), ReleaseGil(),
           "Numbers of a text's characters, int64 ``(T,)``; 0 for those that are not there. "
           "ArgumentError for NUL.")
      .def("character", &Vocabulary::character, py::arg("number"),
           "U+FFFD for 0. RangeError outside.")
      .def("characters", &Vocabulary::characters, "All but the unknown one, in order.")
      .def("__repr__", [](const Vocabulary& v) {
        return joined("Vocabulary(", v.size(), " characters with the unknown one)");
      });
}

// --- network ----------------------------------------------------------------------------------

template <class M>
std::shared_ptr<M> make_network(const NormSettings& settings, int64_t vocabulary, int64_t context,
                                int64_t size, int64_t heads, int64_t hidden, int64_t layers,
                                bool tied, double dropout, bool pre_norm, Activation activation,
                                const std::string& norm) {
  return std::make_shared<M>(language::LanguageModelOptions{
      vocabulary,
      context,
      tied,
      {size, heads, hidden, layers, dropout, pre_norm, activation, {norm, settings}, true}});
}

void bind_forward(py::class_<LanguageModel, nn::Module, Trampoline<LanguageModel>,
                             std::shared_ptr<LanguageModel>>& c) {
  c.def(
      "forward",
      [](LanguageModel& m, const Packed& sequences, std::optional<nn::KeyValueCache*> cache) {
        return cache ? m.forward(sequences, **cache) : m.forward(sequences);
      },
      py::arg("sequences"), py::arg("cache") = py::none(), ReleaseGil(),
      R"doc(Logits ``(T, vocabulary)``: row t is for the character behind t.

`sequences` are packed numbers of characters, or one sequence, int64 ``(T,)``. They follow the
characters of `cache`, which keeps them, too; that needs ``nl.no_grad()``.

RangeError for a number that is not in the vocabulary, ArgumentError for a sequence that is longer
than the context.
)doc");
  c.def(
      "forward",
      [](LanguageModel& m, const Tensor& characters) {
        return m.LanguageModel::forward(characters);
      },
      py::arg("characters"), ReleaseGil());
}

void bind_network(py::module_& m) {
  auto c = module_class<LanguageModel, nn::Module>(m, "LanguageModel",
                                                   R"doc(The causal Transformer over characters.

Embedding + positions -> causal Transformer encoder -> linear. Characters and places are learned
vectors.
)doc");
  def_with_norm_settings(
      c,
      py::init(with_norm_settings(&make_network<LanguageModel>),
               with_norm_settings(&make_network<Trampoline<LanguageModel>>)),
      py::arg("vocabulary"), py::arg("context") = 128, py::arg("size") = 128, py::arg("heads") = 4,
      py::arg("hidden") = 512, py::arg("layers") = 4, py::kw_only(), py::arg("tied") = false,
      py::arg("dropout") = 0.1, py::arg("pre_norm") = true, py::arg("activation") = "relu",
      py::arg("norm") = "layernorm",
      "vocabulary: its characters with the unknown one. context: the most characters that a "
      "prediction rests on. tied: the output's weights are the embedding's (Press and Wolf 2017), "
      "without a bias. The rest as in nl.nn.TransformerEncoder.");
  bind_forward(c);
  bind_arguments<LanguageModel>(c, [](const LanguageModel& m) {
    using namespace py::literals;
    const auto& o = m.options();
    py::dict arguments = transformer_arguments(o.encoder);
    arguments.attr("pop")("causal", py::none());
    arguments.attr("update")(
        py::dict("vocabulary"_a = o.vocabulary, "context"_a = o.context, "tied"_a = o.tied));
    return arguments;
  });
  c.def("extra_repr", [](const LanguageModel& m) {
    return joined("vocabulary=", m.options().vocabulary, ", context=", m.options().context,
                  m.options().tied ? ", tied" : "");
  });
}

// --- model ------------------------------------------------------------------------------------

void bind_model(py::module_& m) {
  py::class_<Model>(m, "Model", R"doc(A trained network with its characters.

Args:
    network: the :class:`LanguageModel`.
    vocabulary: its :class:`Vocabulary`.
    notes: free text that goes along in the file, str to str: task, scores, ...
)doc")
      .def(py::init([](std::shared_ptr<LanguageModel> network, const Vocabulary& vocabulary,
                       Metadata notes) {
             return Model{std::move(network), vocabulary, std::move(notes)};
           }),
           py::arg("network").none(false), py::arg("vocabulary"), py::arg("notes") = py::dict())
      .def_property_readonly("network", copied(&Model::network), "The network.")
      .def_readonly("vocabulary", &Model::vocabulary, "The vocabulary.")
      .def_readonly("notes", &Model::notes, "A copy of the notes.")
      .def("__repr__", [](const Model& model) {
        return joined("Model(", model.vocabulary.size(), " characters)");
      });
}

// --- generation -------------------------------------------------------------------------------

constexpr const char* kWriterDoc = R"doc(Continues a text, a character at each ``next()``, forever.

The characters depend on model, prompt and sampling alone: not on the number of threads, and they
are those of the engine's Writer in C++. Unknown characters are never drawn.

Args:
    model: a :class:`Model`.
    prompt: the text that is continued; only its last ``context`` characters matter.
    temperature: logits are divided by it; 0: always the likeliest character.
    top_k: among so many likeliest characters alone; None: among all.
    seed: of the draws.

A step costs one character, since keys and values are kept. Where the context is full, it slides on:
the newer half of it is read anew from its first place, the older half is forgotten. ArgumentError
for a prompt that is empty or has a character that the model does not know, a temperature that is
negative or not finite, a top_k below 1.
)doc";

language::Sampling sampling(double temperature, std::optional<int64_t> top_k, Seed seed) {
  check<ArgumentError>(!top_k || *top_k >= 1, "generate", "top_k must be 1 or more, got ",
                       top_k.value_or(0));
  return {temperature, top_k.value_or(0), seed.value};
}

void bind_generation(py::module_& m) {
  py::class_<Writer>(m, "Writer", kWriterDoc)
      .def(py::init([](const Model& model, const std::string& prompt, double temperature,
                       std::optional<int64_t> top_k, Seed seed) {
             return std::make_unique<Writer>(model, prompt, sampling(temperature, top_k, seed));
           }),
           py::arg("model"), py::arg("prompt"), py::kw_only(), py::arg("temperature") = 1.0,
           py::arg("top_k") = py::none(), py::arg("seed") = 0, ReleaseGil())
      .def("__iter__", [](const py::object& self) { return self; })
      .def("__next__", &Writer::next, ReleaseGil());
  m.def(
      "generate",
      [](const Model& model, const std::string& prompt, int64_t length, double temperature,
         std::optional<int64_t> top_k, Seed seed) {
        return language::generate(model, prompt, length, sampling(temperature, top_k, seed));
      },
      py::arg("model"), py::arg("prompt"), py::arg("length"), py::kw_only(),
      py::arg("temperature") = 1.0, py::arg("top_k") = py::none(), py::arg("seed") = 0,
      ReleaseGil(),
      "``length`` characters that continue the prompt: those of a :class:`Writer` with the same "
      "arguments, with its errors.\n\nExample:\n"
      "    >>> letters = nl.language.Vocabulary('ab')\n"
      "    >>> net = nl.language.LanguageModel(len(letters), size=8, heads=2, layers=1)\n"
      "    >>> len(nl.language.generate(nl.language.Model(net, letters), 'a', length=5))\n    5");
}

}  // namespace

void bind_language(py::module_& m) {
  bind_vocabulary(m);
  bind_network(m);
  bind_model(m);
  bind_generation(m);
  bind_model_files(m, &language::load_model, "vocabulary, settings",
                   "a vocabulary that is not the network's",
                   R"doc(    >>> letters = nl.language.Vocabulary('ab')
    >>> net = nl.language.LanguageModel(len(letters), size=8, heads=2, layers=1)
    >>> model = nl.language.Model(net, letters)
)doc",
                   "Model(3 characters)");
}

}  // namespace normlab::bindings
