#include "modules.h"
#include "norm_arguments.h"

namespace normlab::bindings {

using namespace py::literals;

py::dict transformer_arguments(const nn::TransformerOptions& o) {
  py::dict arguments = norm_arguments(o.norm);
  arguments.attr("update")(py::dict("size"_a = o.size, "heads"_a = o.heads, "hidden"_a = o.hidden,
                                    "layers"_a = o.layers, "dropout"_a = o.dropout,
                                    "pre_norm"_a = o.pre_norm, "activation"_a = o.activation,
                                    "norm"_a = o.norm.name()));
  return arguments;
}

namespace {

using nn::Module;

constexpr const char* kPackedForward =
    "``(T, D) -> (T, D)``. offsets int64 ``(S + 1,)``: sentence i is rows offsets[i] to "
    "offsets[i + 1]; None: one sentence.";
constexpr const char* kMemoryForward =
    "``(T, D)``, memory ``(M, D)`` -> ``(T, D)``. offsets int64 ``(S + 1,)``: sentence i is rows "
    "offsets[i] to offsets[i + 1]; memory_offsets: the same of its memory; None: one sentence.";

constexpr const char* kCached =
    " cache: x holds the tokens that follow those of the cache, any number a sentence; it gets "
    "them, "
    "too. Within nl.no_grad() alone.";

/// The offsets, or those of all rows of x as one sentence.
Tensor given_or_one_sentence(const Tensor& x, const std::optional<Tensor>& offsets) {
  if (offsets) return *offsets;
  Tensor all = Tensor::of<int64_t>({2}, {0, x.rank() == 0 ? 0 : x.size(0)});
  return all.to(x.device());
}

/// forward(x) of one sentence, forward(x, offsets) of packed ones.
template <class M, class Class>
void bind_packed_forward(Class& c) {
  c.def(
      "forward",
      [](M& m, const Tensor& x, const std::optional<Tensor>& offsets) {
        return offsets ? m.M::forward(x, *offsets) : m.M::forward(x);
      },
      py::arg("x"), py::arg("offsets") = py::none(), ReleaseGil(), kPackedForward);
}

/// forward(x, memory) of one sentence, forward(x, memory, offsets, memory_offsets) of packed ones.
template <class M, class Class>
void bind_memory_forward(Class& c) {
  c.def(
      "forward",
      [](M& m, const Tensor& x, const Tensor& memory, const std::optional<Tensor>& offsets,
         const std::optional<Tensor>& memory_offsets) {
        return m.M::forward(x, memory, given_or_one_sentence(x, offsets),
                            given_or_one_sentence(memory, memory_offsets));
      },
      py::arg("x"), py::arg("memory"), py::arg("offsets") = py::none(),
      py::arg("memory_offsets") = py::none(), ReleaseGil(), kMemoryForward);
}

template <class M>
std::shared_ptr<M> make(const NormSettings& settings, int64_t size, int64_t heads, int64_t hidden,
                        int64_t layers, double dropout, bool pre_norm, Activation activation,
                        const std::string& norm, bool causal) {
  return std::make_shared<M>(nn::TransformerOptions{
      size, heads, hidden, layers, dropout, pre_norm, activation, {norm, settings}, causal});
}

template <class M>
std::shared_ptr<M> make_decoder(const NormSettings& settings, int64_t size, int64_t heads,
                                int64_t hidden, int64_t layers, double dropout, bool pre_norm,
                                Activation activation, const std::string& norm) {
  return make<M>(settings, size, heads, hidden, layers, dropout, pre_norm, activation, norm, true);
}

template <class M>
std::shared_ptr<M> make_layer(const NormSettings& settings, int64_t size, int64_t heads,
                              int64_t hidden, double dropout, bool pre_norm, Activation activation,
                              const std::string& norm, bool causal) {
  return make<M>(settings, size, heads, hidden, 1, dropout, pre_norm, activation, norm, causal);
}

template <class M>
std::shared_ptr<M> make_decoder_layer(const NormSettings& settings, int64_t size, int64_t heads,
                                      int64_t hidden, double dropout, bool pre_norm,
                                      Activation activation, const std::string& norm) {
  return make<M>(settings, size, heads, hidden, 1, dropout, pre_norm, activation, norm, true);
}

void bind_cache(py::module_& m) {
  using nn::KeyValueCache;
  py::class_<KeyValueCache, std::shared_ptr<KeyValueCache>>(
      m, "KeyValueCache",
      R"doc(Keys and values of tokens that a decoder has seen.

A step costs the new tokens alone: ``net(x, offsets, cache)`` of a TransformerEncoder with causal=True,
``net(x, memory, offsets, memory_offsets, cache)`` of a TransformerDecoder. x holds the prompts at
first, then the next token of each sentence. The results are those of whole sentences but for
rounding. A cache belongs to the first module that it is given to, and records no gradients.
)doc")
      .def(py::init<>(), "An empty one.")
      .def_property_readonly("lengths", &KeyValueCache::lengths,
                             "The number of tokens of each sentence; empty before the first call.")
      .def(
          "take", [](KeyValueCache& cache, const Integers& index) { cache.take(index.list); },
          py::arg("index"), ReleaseGil(),
          R"doc(Keeps the sentences of these numbers in this order.

Some may come twice (the beams of a beam search), others not at all (those that are finished).

Raises:
    RangeError: A number that is none of a sentence.
)doc")
      .def("__repr__", [](const KeyValueCache& cache) {
        return joined("KeyValueCache(", cache.lengths().size(), " sentences)");
      });
}

void bind_attention_module(py::module_& m) {
  using nn::SelfAttention;
  auto c = module_class<SelfAttention, Module>(
      m, "SelfAttention",
      "Multi-head self-attention within sentences (Vaswani et al. 2017); parts qkv and out.");
  c.def(py::init<int64_t, int64_t, bool>(), py::arg("size"), py::arg("heads"),
        py::arg("causal") = false,
        "size is a multiple of heads; causal: each token sees those up to itself.");
  bind_packed_forward<SelfAttention>(c);
  bind_arguments<SelfAttention>(c, [](const SelfAttention& l) {
    return py::dict("size"_a = l.size(), "heads"_a = l.heads(), "causal"_a = l.causal());
  });
}

void bind_cross_attention(py::module_& m) {
  using nn::CrossAttention;
  auto c = module_class<CrossAttention, Module>(
      m, "CrossAttention",
      "Multi-head attention of each sentence to its memory (Vaswani et al. 2017); parts query, "
      "key_value and out.");
  c.def(py::init<int64_t, int64_t>(), py::arg("size"), py::arg("heads"),
        "size is a multiple of heads.");
  bind_memory_forward<CrossAttention>(c);
  bind_arguments<CrossAttention>(c, [](const CrossAttention& l) {
    return py::dict("size"_a = l.size(), "heads"_a = l.heads());
  });
}

void bind_layer(py::module_& m) {
  using nn::TransformerLayer;
  auto c = module_class<TransformerLayer, Module>(m, "TransformerLayer",
                                                  R"doc(Self-attention and a feed-forward part.

Each has its norm, dropout and residual connection: x + f(norm(x)) with pre_norm, else
norm(x + f(x)).
)doc");
  def_with_norm_settings(c,
                         py::init(with_norm_settings(&make_layer<TransformerLayer>),
                                  with_norm_settings(&make_layer<Trampoline<TransformerLayer>>)),
                         py::arg("size") = 128, py::arg("heads") = 4, py::arg("hidden") = 512,
                         py::kw_only(), py::arg("dropout") = 0.1, py::arg("pre_norm") = true,
                         py::arg("activation") = "relu", py::arg("norm") = "layernorm",
                         py::arg("causal") = false,
                         "norm: any of nl.norm_variants(); its options as in nl.normalize(). "
                         "causal: each token sees those up to itself.");
  bind_packed_forward<TransformerLayer>(c);
  bind_arguments<TransformerLayer>(c, [](const TransformerLayer& l) {
    py::dict arguments = transformer_arguments(l.options());
    arguments.attr("pop")("layers");
    arguments["causal"] = l.options().causal;
    return arguments;
  });
}

void bind_decoder_layer(py::module_& m) {
  using nn::TransformerDecoderLayer;
  auto c = module_class<TransformerDecoderLayer, Module>(
      m, "TransformerDecoderLayer",
      R"doc(Causal self-attention, attention to a memory and a feed-forward part.

Each has its norm, dropout and residual connection, as in TransformerLayer. The parts are norm1,
attention, norm2, cross, norm3, up and down.
)doc");
  def_with_norm_settings(
      c,
      py::init(with_norm_settings(&make_decoder_layer<TransformerDecoderLayer>),
               with_norm_settings(&make_decoder_layer<Trampoline<TransformerDecoderLayer>>)),
      py::arg("size") = 128, py::arg("heads") = 4, py::arg("hidden") = 512, py::kw_only(),
      py::arg("dropout") = 0.1, py::arg("pre_norm") = true, py::arg("activation") = "relu",
      py::arg("norm") = "layernorm",
      "norm: any of nl.norm_variants(); its options as in nl.normalize().");
  bind_memory_forward<TransformerDecoderLayer>(c);
  bind_arguments<TransformerDecoderLayer>(c, [](const TransformerDecoderLayer& l) {
    py::dict arguments = transformer_arguments(l.options());
    arguments.attr("pop")("layers");
    return arguments;
  });
}

void bind_encoder(py::module_& m) {
  using nn::TransformerEncoder;
  auto c = module_class<TransformerEncoder, Module>(
      m, "TransformerEncoder",
      "Dropout, layers named \"0\", \"1\", ..., and with pre_norm a norm at the end.");
  def_with_norm_settings(
      c,
      py::init(with_norm_settings(&make<TransformerEncoder>),
               with_norm_settings(&make<Trampoline<TransformerEncoder>>)),
      py::arg("size") = 128, py::arg("heads") = 4, py::arg("hidden") = 512, py::arg("layers") = 4,
      py::kw_only(), py::arg("dropout") = 0.1, py::arg("pre_norm") = true,
      py::arg("activation") = "relu", py::arg("norm") = "layernorm", py::arg("causal") = false,
      "norm: any of nl.norm_variants(), at every place; its options as in nl.normalize(). "
      "causal: each token sees those up to itself, as in a language model.");
  c.def(
      "forward",
      [](TransformerEncoder& m, const Tensor& x, const std::optional<Tensor>& offsets,
         std::optional<nn::KeyValueCache*> cache) {
        const Tensor at = given_or_one_sentence(x, offsets);
        return cache ? m.forward(x, at, **cache) : m.TransformerEncoder::forward(x, at);
      },
      py::arg("x"), py::arg("offsets") = py::none(), py::arg("cache") = py::none(), ReleaseGil(),
      (std::string(kPackedForward) + kCached).c_str());
  bind_arguments<TransformerEncoder>(c, [](const TransformerEncoder& l) {
    py::dict arguments = transformer_arguments(l.options());
    arguments["causal"] = l.options().causal;
    return arguments;
  });
}

void bind_decoder(py::module_& m) {
  using nn::TransformerDecoder;
  auto c = module_class<TransformerDecoder, Module>(
      m, "TransformerDecoder",
      "Dropout, decoder layers named \"0\", \"1\", ..., and with pre_norm a norm at the end: the "
      "decoder of Vaswani et al. 2017.");
  def_with_norm_settings(
      c,
      py::init(with_norm_settings(&make_decoder<TransformerDecoder>),
               with_norm_settings(&make_decoder<Trampoline<TransformerDecoder>>)),
      py::arg("size") = 128, py::arg("heads") = 4, py::arg("hidden") = 512, py::arg("layers") = 4,
      py::kw_only(), py::arg("dropout") = 0.1, py::arg("pre_norm") = true,
      py::arg("activation") = "relu", py::arg("norm") = "layernorm",
      "norm: any of nl.norm_variants(), at every place; its options as in nl.normalize().");
  c.def(
      "forward",
      [](TransformerDecoder& m, const Tensor& x, const std::optional<Tensor>& memory,
         const std::optional<Tensor>& offsets, const std::optional<Tensor>& memory_offsets,
         std::optional<nn::KeyValueCache*> cache) {
        const Tensor at = given_or_one_sentence(x, offsets), none;
        if (!memory && !cache) return m.TransformerDecoder::forward(x);  // says that it needs one
        const Tensor memory_at = memory ? given_or_one_sentence(*memory, memory_offsets) : none;
        if (!cache) return m.TransformerDecoder::forward(x, *memory, at, memory_at);
        return m.forward(x, memory.value_or(none), at, memory_at, **cache);
      },
      py::arg("x"), py::arg("memory"), py::arg("offsets") = py::none(),
      py::arg("memory_offsets") = py::none(), py::arg("cache") = py::none(), ReleaseGil(),
      (std::string(kMemoryForward) + kCached +
       " It keeps the memory of its first call: later ones may give None.")
          .c_str());
  bind_arguments<TransformerDecoder>(
      c, [](const TransformerDecoder& l) { return transformer_arguments(l.options()); });
}

}  // namespace

void bind_transformer(py::module_& nn) {
  bind_cache(nn);
  bind_attention_module(nn);
  bind_cross_attention(nn);
  bind_layer(nn);
  bind_encoder(nn);
  bind_decoder_layer(nn);
  bind_decoder(nn);
}

}  // namespace normlab::bindings
