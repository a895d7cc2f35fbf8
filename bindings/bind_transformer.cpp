#include "modules.h"

namespace normlab::bindings {

using namespace py::literals;

nn::TransformerOptions transformer_options(int64_t size, int64_t heads, int64_t hidden,
                                           int64_t layers, double dropout, bool pre_norm,
                                           Activation activation, const std::string& norm,
                                           double eps, const std::string& denominator, double C,
                                           double k, double topk_share) {
  nn::TransformerOptions options;
  options.size = size;
  options.heads = heads;
  options.hidden = hidden;
  options.layers = layers;
  options.dropout = dropout;
  options.pre_norm = pre_norm;
  options.activation = activation;
  options.norm = norm;
  options.norm_options.eps = eps;
  options.norm_options.denominator = denominator_named(denominator);
  options.norm_options.C = C;
  options.norm_options.k = k;
  options.norm_options.topk_share = topk_share;
  return options;
}

py::dict transformer_arguments(const nn::TransformerOptions& o) {
  py::dict arguments = norm_arguments(o.norm_options);
  arguments.attr("update")(py::dict("size"_a = o.size, "heads"_a = o.heads, "hidden"_a = o.hidden,
                                    "layers"_a = o.layers, "dropout"_a = o.dropout,
                                    "pre_norm"_a = o.pre_norm, "activation"_a = o.activation,
                                    "norm"_a = o.norm));
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
std::shared_ptr<M> make(int64_t size, int64_t heads, int64_t hidden, int64_t layers, double dropout,
                        bool pre_norm, Activation activation, const std::string& norm, double eps,
                        const std::string& denominator, double C, double k, double topk_share) {
  return std::make_shared<M>(transformer_options(size, heads, hidden, layers, dropout, pre_norm,
                                                 activation, norm, eps, denominator, C, k,
                                                 topk_share));
}

template <class M>
std::shared_ptr<M> make_layer(int64_t size, int64_t heads, int64_t hidden, double dropout,
                              bool pre_norm, Activation activation, const std::string& norm,
                              double eps, const std::string& denominator, double C, double k,
                              double topk_share) {
  return make<M>(size, heads, hidden, 1, dropout, pre_norm, activation, norm, eps, denominator, C,
                 k, topk_share);
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
  c.def(py::init(&make_layer<TransformerLayer>, &make_layer<Trampoline<TransformerLayer>>),
        py::arg("size") = 128, py::arg("heads") = 4, py::arg("hidden") = 512, py::kw_only(),
        py::arg("dropout") = 0.1, py::arg("pre_norm") = true, py::arg("activation") = "relu",
        py::arg("norm") = "layernorm", py::arg("eps") = 1e-5, py::arg("denominator") = "var_eps",
        py::arg("C") = 1.0, py::arg("k") = 0.1, py::arg("topk_share") = 0.005,
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
  c.def(py::init(&make<TransformerEncoder>, &make<Trampoline<TransformerEncoder>>),
        py::arg("size") = 128, py::arg("heads") = 4, py::arg("hidden") = 512, py::arg("layers") = 4,
        py::kw_only(), py::arg("dropout") = 0.1, py::arg("pre_norm") = true,
        py::arg("activation") = "relu", py::arg("norm") = "layernorm", py::arg("eps") = 1e-5,
        py::arg("denominator") = "var_eps", py::arg("C") = 1.0, py::arg("k") = 0.1,
        py::arg("topk_share") = 0.005,
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
