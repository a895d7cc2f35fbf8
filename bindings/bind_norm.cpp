#include <algorithm>

#include "bind.h"

namespace normlab::bindings {
namespace {

const char* name_of(Scale scale) {
  constexpr const char* kNames[] = {"none", "std", "rms", "l2", "tanh"};
  return kNames[static_cast<size_t>(scale)];
}
const char* name_of(Output output) {
  constexpr const char* kNames[] = {"plain", "affine", "gain", "bias", "adaptive", "residual"};
  return kNames[static_cast<size_t>(output)];
}
const char* name_of(Group group) {
  constexpr const char* kNames[] = {"row", "channels", "channel", "batch"};
  return kNames[static_cast<size_t>(group)];
}

py::tuple variant_names() {
  py::tuple names(std::size(kNormVariants));
  for (size_t i = 0; i < names.size(); ++i) names[i] = py::str(std::string(kNormVariants[i].name));
  return names;
}

py::typing::Dict<py::str, py::object> traits_of(const std::string& name) {
  const NormTraits& t = norm_variant(name);
  py::typing::Dict<py::str, py::object> d;
  d["name"] = std::string(t.name);
  d["scale"] = name_of(t.scale);
  d["grad_mean"] = t.grad_mean;
  d["grad_scale"] = t.grad_scale;
  d["output"] = name_of(t.output);
  d["group"] = name_of(t.group);
  d["clamp"] = t.clamp;
  d["scalar_gain"] = t.scalar_gain;
  return d;
}

constexpr const char* kNormalizeDoc = R"doc(Normalises x, forward and backward fused.

A row is what the last ``axes`` axes hold. For batchnorm, groupnorm and instancenorm the first of
these axes counts channels, the others places: ``(N, C, H, W)`` with ``axes=3`` is the usual case.
Statistics take two passes in float32. A row of finite numbers has a finite y, right at every scale.
A row of equal elements gives y = 0; with ``eps=0`` its divisor is 0, and its gradient is 0, too.

Args:
    x: ``(..., row)``, float32 or float64.
    variant: one of :func:`norm_variants`; :func:`norm_traits` says what it does.
    gain, bias: shape of the normalised axes (``(channels,)`` for groups of channels, ``(1,)`` for
        scalenorm's gain); None stands for 1 and 0.
    eps: added where ``denominator`` says.
    denominator: "var_eps", sqrt(biased variance + eps): the paper's text and most frameworks;
        "std_eps", unbiased deviation + eps: the authors' code.
    C, k: adanorm's scale and slope, phi = C (1 - k y).
    axes: how many trailing axes form a row; None: 1, or all but the first for batchnorm,
        groupnorm and instancenorm.
    groups: groupnorm's; None stands for gcd(channels, 32).
    alpha: dyt's, ``(1,)``; None stands for 0.5.
    running_mean, running_var: batchnorm's and instancenorm's, ``(channels,)``, both or none; updated
        in place while training (mean over the batch, unbiased variance), used instead of x's own
        statistics otherwise. No elements at all leave them as they are.
    training: says what becomes of the running statistics.
    momentum: share of the new batch in the running statistics.
    topk_share: topk clamps max(int(share * row length), 1) entries on each side.

Returns:
    shape and dtype of x; x itself for "none".

Raises:
    ShapeError: gain, bias, alpha or running statistics of another shape; no such axes.
    ArgumentError: an option that the variant does not take, or a negative eps; running statistics
        in training with one value a channel.

Source: Xu et al., "Understanding and Improving Layer Normalization", NeurIPS 2019, sections 2
to 4.
)doc";

}  // namespace

void bind_norm(py::module_& m) {
  m.def(
      "norm_variants", [] { return py::typing::Tuple<py::str, py::ellipsis>(variant_names()); },
      "The names of all normalisation variants.");
  m.def("norm_traits", &traits_of, py::arg("name"),
        R"doc(What sets one variant apart, as a dict.

Keys: ``name``; ``scale`` (what a row is divided by: none, std, rms, l2, tanh); ``grad_mean`` and
``grad_scale`` (False: a constant in the backward pass); ``output`` (plain, affine, gain, bias,
adaptive, residual); ``group`` (what shares statistics: row, channels, channel, batch); ``clamp``;
``scalar_gain``. ArgumentError for an unknown name.
)doc");
  m.def(
      "normalize",
      [](const Tensor& x, const std::string& variant, const std::optional<Tensor>& gain,
         const std::optional<Tensor>& bias, double eps, const std::string& denominator, double C,
         double k, std::optional<int> axes, std::optional<int64_t> groups,
         const std::optional<Tensor>& alpha, const std::optional<Tensor>& running_mean,
         const std::optional<Tensor>& running_var, bool training, double momentum,
         double topk_share) {
        const NormTraits& traits = norm_variant(variant);
        const int usual = traits.group == Group::row ? 1 : std::max(1, x.rank() - 1);
        return normalize(x, traits,
                         {.gain = tensor_or_none(gain),
                          .bias = tensor_or_none(bias),
                          .alpha = tensor_or_none(alpha),
                          .eps = eps,
                          .denominator = denominator_named(denominator),
                          .C = C,
                          .k = k,
                          .topk_share = topk_share,
                          .axes = axes.value_or(usual),
                          .groups = groups.value_or(0),
                          .running_mean = tensor_or_none(running_mean),
                          .running_var = tensor_or_none(running_var),
                          .training = training,
                          .momentum = momentum});
      },
      py::arg("x"), py::arg("variant"), py::kw_only(), py::arg("gain") = py::none(),
      py::arg("bias") = py::none(), py::arg("eps") = 1e-5, py::arg("denominator") = "var_eps",
      py::arg("C") = 1.0, py::arg("k") = 0.1, py::arg("axes") = py::none(),
      py::arg("groups") = py::none(), py::arg("alpha") = py::none(),
      py::arg("running_mean") = py::none(), py::arg("running_var") = py::none(),
      py::arg("training") = true, py::arg("momentum") = 0.1, py::arg("topk_share") = 0.005,
      ReleaseGil(), kNormalizeDoc);
}

}  // namespace normlab::bindings
