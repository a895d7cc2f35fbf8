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

/// forward(x) of one sentence, forward(x, offsets) of packed ones.
template <class M, class Class>
void bind_packed_forward(Class& c) {
  c.def(
      "forward",
      [](M& m, const Tensor& x, const std::optional<Tensor>& offsets) {
        return offsets ? m.M::forward(x, *offsets) : m.M::forward(x);
      },
      py::arg("x"), py::arg("offsets") = py::none(), ReleaseGil(),
      "``(T, D) -> (T, D)``. offsets int64 ``(S + 1,)``: sentence i is rows offsets[i] to "
      "offsets[i + 1]; None: one sentence.");
}

template <class M>
std::shared_ptr<M> make(const NormSettings& settings, int64_t size, int64_t heads, int64_t hidden,
                        int64_t layers, double dropout, bool pre_norm, Activation activation,
                        const std::string& norm) {
  return std::make_shared<M>(nn::TransformerOptions{
      size, heads, hidden, layers, dropout, pre_norm, activation, {norm, settings}});
}

template <class M>
std::shared_ptr<M> make_layer(const NormSettings& settings, int64_t size, int64_t heads,
                              int64_t hidden, double dropout, bool pre_norm, Activation activation,
                              const std::string& norm) {
  return make<M>(settings, size, heads, hidden, 1, dropout, pre_norm, activation, norm);
}

void bind_attention_module(py::module_& m) {
  using nn::SelfAttention;
  auto c = module_class<SelfAttention, Module>(
      m, "SelfAttention",
      "Multi-head self-attention within sentences (Vaswani et al. 2017); parts qkv and out.");
  c.def(py::init<int64_t, int64_t>(), py::arg("size"), py::arg("heads"),
        "size is a multiple of heads.");
  bind_packed_forward<SelfAttention>(c);
  bind_arguments<SelfAttention>(c, [](const SelfAttention& l) {
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
                         "norm: any of nl.norm_variants(); its options as in nl.normalize().");
  bind_packed_forward<TransformerLayer>(c);
  bind_arguments<TransformerLayer>(c, [](const TransformerLayer& l) {
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
      py::arg("activation") = "relu", py::arg("norm") = "layernorm",
      "norm: any of nl.norm_variants(), at every place; its options as in nl.normalize().");
  bind_packed_forward<TransformerEncoder>(c);
  bind_arguments<TransformerEncoder>(
      c, [](const TransformerEncoder& l) { return transformer_arguments(l.options()); });
}

}  // namespace

void bind_transformer(py::module_& nn) {
  bind_attention_module(nn);
  bind_layer(nn);
  bind_encoder(nn);
}

}  // namespace normlab::bindings
