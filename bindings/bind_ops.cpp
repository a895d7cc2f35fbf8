#include "bind_ops.h"
#include "names.h"

namespace normlab::bindings {
namespace {

void bind_products(py::module_& m, TensorClass& c) {
  const char* matmul_doc =
      "``(..., M, K) @ (..., K, N) -> (..., M, N)``; leading axes broadcast, vectors as NumPy's."
      "\n\nExample:\n    >>> nl.matmul(nl.ones((5, 1, 2, 3)), nl.ones((4, 3, 6))).shape\n"
      "    (5, 4, 2, 6)";
  m.def("matmul", &matmul, py::arg("a"), py::arg("b"), ReleaseGil(), matmul_doc);
  c.def("matmul", &matmul, py::arg("other"), ReleaseGil(), matmul_doc);
  c.def("__matmul__", &matmul, py::arg("other"), py::is_operator(), ReleaseGil());
  c.def(
      "__rmatmul__", [](const Tensor& b, const Tensor& a) { return matmul(a, b); },
      py::arg("other"), py::is_operator(), ReleaseGil());
  m.def(
      "linear",
      [](const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias, Activation a) {
        return linear(x, weight, tensor_or_none(bias), a);
      },
      py::arg("x"), py::arg("weight"), py::arg("bias") = py::none(), py::kw_only(),
      py::arg("activation") = "none", ReleaseGil(),
      R"doc(activation(x weight^T + bias), fused.

Args:
    x: ``(..., in)``.
    weight: ``(out, in)``.
    bias: ``(out,)`` or None.
    activation: none, relu, gelu, tanh, sigmoid, silu or softplus.

Example:
    >>> weight = nl.tensor([[1.0, 1.0], [-1.0, -1.0]])
    >>> nl.linear(nl.tensor([1.0, 2.0]), weight, activation="relu").tolist()
    [3.0, 0.0]
)doc");
}

constexpr std::array kReductions{"none", "sum", "mean"};

void bind_softmax(py::module_& m, TensorClass& c) {
  const auto axis = py::arg("axis") = -1;
  bind_both(m, c, "softmax", &softmax, axis,
            "exp(x) / sum(exp(x)) along an axis.\n\nExample:\n"
            "    >>> nl.softmax(nl.tensor([0.0, 1.0])).numpy().round(4)\n"
            "    array([0.2689, 0.7311], dtype=float32)");
  bind_both(m, c, "log_softmax", &log_softmax, axis,
            "log(softmax(x)) along an axis.\n\nExample:\n"
            "    >>> nl.log_softmax(nl.zeros(2)).numpy().round(4)\n"
            "    array([-0.6931, -0.6931], dtype=float32)");
}

void bind_losses(py::module_& m) {
  m.def(
      "cross_entropy",
      [](const Tensor& logits, const Tensor& targets, double label_smoothing,
         std::optional<int64_t> ignore_index, const std::string& reduction,
         const std::optional<Tensor>& weight) {
        return cross_entropy(logits, targets,
                             {label_smoothing, ignore_index,
                              named<Reduction>("cross_entropy: reduction", reduction, kReductions),
                              tensor_or_none(weight)});
      },
      py::arg("logits"), py::arg("targets"), py::kw_only(), py::arg("label_smoothing") = 0.0,
      py::arg("ignore_index") = py::none(), py::arg("reduction") = "mean",
      py::arg("weight") = py::none(), ReleaseGil(),
      R"doc(-log softmax(logits)[target], in nats.

Args:
    logits: ``(..., V)``.
    targets: int32 or int64 ``(...)``, classes in [0, V); or, of the shape and dtype of logits, the
        probabilities t of all classes: the loss is then ``-sum(weight * t * log_softmax(logits))``,
        where a class with t = 0 counts nothing whatever its logit, and t gets a gradient, too.
        That they are probabilities is not checked.
    label_smoothing: in [0, 1): the share that is spread evenly over all classes.
    ignore_index: rows with this target count nothing; for classes alone.
    reduction: "mean", "sum" or "none". A mean divides by the number of rows that count, of classes
        with weight by the sum of their weights; it is NaN where that is 0.
    weight: ``(V,)``, what each class counts, of the dtype of logits; a constant.

Raises:
    RangeError: a target outside [0, V), with row and class.
    GradError: weight requires a gradient.

Example:
    >>> round(nl.cross_entropy(nl.zeros((2, 10)), nl.tensor([3, 7])).item(), 4)
    2.3026
)doc");
}

void bind_dropout(py::module_& m) {
  m.def(
      "dropout",
      [](const Tensor& x, double p, bool training, MaybeGenerator g) {
        return dropout(x, p, training, chosen(g));
      },
      py::arg("x"), py::arg("p") = 0.5, py::arg("training") = true, py::kw_only(),
      py::arg("generator") = py::none(), ReleaseGil(),
      "Zeroes each element with probability p in [0, 1) and divides the rest by 1 - p; x itself "
      "unless training.\n\nExample:\n"
      "    >>> nl.dropout(nl.ones(6), 0.5, generator=nl.Generator(0)).tolist()\n"
      "    [0.0, 2.0, 2.0, 2.0, 2.0, 0.0]");
}

void bind_features(py::module_& m) {
  m.def(
      "feature_linear",
      [](const Tensor& table, const Tensor& features, const Tensor& weight,
         const std::optional<Tensor>& bias) {
        return feature_linear(table, features, weight, tensor_or_none(bias));
      },
      py::arg("table"), py::arg("features"), py::arg("weight"), py::arg("bias") = py::none(),
      ReleaseGil(),
      R"doc(bias + sum over p of table[features[:, p]] @ weight[p].

The first layer of a network on sparse features (Chen and Manning 2014): each distinct pair of
position and row is multiplied once, forward and backward, however often it comes in the batch.

Args:
    table: ``(V, E)``; its gradient arrives as sparse rows, on the GPU dense.
    features: int32 ``(N, P)``, rows of the table.
    weight: ``(P, E, H)``.
    bias: ``(H,)`` or None.

Returns:
    ``(N, H)``.

Raises:
    RangeError: a feature outside [0, V), with its place.

Example:
    >>> features = nl.tensor([[0, 8]], dtype="int32")
    >>> nl.feature_linear(nl.ones((9, 4)), features, nl.ones((2, 4, 3))).tolist()
    [[8.0, 8.0, 8.0]]
)doc");
}

void bind_attention(py::module_& m) {
  m.def("attention", &attention, py::arg("qkv"), py::arg("offsets"), py::arg("heads"),
        py::arg("causal") = false, ReleaseGil(),
        R"doc(Self-attention within packed sentences, all heads, forward and backward fused.

softmax(q k^T / sqrt(D / heads)) v (Vaswani et al. 2017, eq. 1). What backward keeps grows linearly
with T.

Args:
    qkv: ``(T, 3 D)``, queries, keys and values, each of ``heads`` heads side by side.
    offsets: int64 ``(S + 1,)``: sentence i is rows offsets[i] to offsets[i + 1].
    heads: divides D.
    causal: each query sees the keys up to its own. The rest costs nothing.

Returns:
    ``(T, D)``.

Raises:
    ShapeError: qkv is not ``(T, 3 D)`` with D a multiple of heads.
    ArgumentError: offsets do not rise from 0 to T.

Example:
    >>> nl.attention(nl.rand(5, 3 * 8), nl.tensor([0, 2, 5]), heads=2).shape
    (5, 8)
)doc");
}

void bind_cross_attention(py::module_& m) {
  m.def("cross_attention", &cross_attention, py::arg("q"), py::arg("kv"), py::arg("q_offsets"),
        py::arg("kv_offsets"), py::arg("heads"), py::arg("causal") = false, ReleaseGil(),
        R"doc(:func:`attention` of queries and keys from two packed batches with as many sentences.

The queries of sentence i see the keys of sentence i.

Args:
    q: ``(Tq, D)``, queries of ``heads`` heads side by side.
    kv: ``(Tk, 2 D)``, keys and values, each of ``heads`` heads side by side.
    q_offsets: int64 ``(S + 1,)``: the queries of sentence i are rows q_offsets[i] to
        q_offsets[i + 1] of q.
    kv_offsets: the same of kv.
    heads: divides D.
    causal: aligned to the end: query i of n sees the keys j <= m - n + i of m.

Returns:
    ``(Tq, D)``.

Raises:
    ShapeError: other shapes, or offsets of different lengths.
    ArgumentError: offsets do not rise from 0 to the rows; a sentence has queries and no keys, or
        causal and fewer keys than queries.

Example:
    >>> q, kv = nl.rand(3, 8), nl.rand(5, 2 * 8)
    >>> nl.cross_attention(q, kv, nl.tensor([0, 1, 3]), nl.tensor([0, 2, 5]), heads=2).shape
    (3, 8)
)doc");
}

void bind_packed(py::module_& m) {
  bind_attention(m);
  bind_cross_attention(m);
  m.def("segment_mean", &segment_mean, py::arg("x"), py::arg("offsets"), ReleaseGil(),
        "Mean of the rows of each packed sentence: ``(T, D) -> (S, D)``, zeros for an empty one. "
        "offsets as in :func:`attention`.\n\nExample:\n"
        "    >>> nl.segment_mean(nl.tensor([[1.0], [3.0]]), nl.tensor([0, 2, 2])).tolist()\n"
        "    [[2.0], [0.0]]");
}

}  // namespace

void bind_ops(py::module_& m, TensorClass& tensor) {
  bind_elementwise(m, tensor);
  bind_reductions(m, tensor);
  bind_rearrangements(m, tensor);
  bind_products(m, tensor);
  bind_windows(m);
  bind_softmax(m, tensor);
  bind_losses(m);
  bind_dropout(m);
  bind_features(m);
  bind_packed(m);
}

}  // namespace normlab::bindings
