#include <algorithm>

#include "modules.h"
#include "names.h"
#include "norm_arguments.h"

namespace normlab::bindings {
namespace {

// Names of the enumerators, each at its place.
constexpr std::array kScales{"none", "std", "rms", "l2", "tanh"};
static_assert(kScales.size() == static_cast<size_t>(Scale::tanh) + 1);
constexpr std::array kOutputs{"plain", "affine", "gain", "bias", "adaptive", "residual"};
static_assert(kOutputs.size() == static_cast<size_t>(Output::residual) + 1);
constexpr std::array kGroups{"row", "channels", "channel", "batch"};
static_assert(kGroups.size() == static_cast<size_t>(Group::batch) + 1);

py::tuple variant_names() {
  py::tuple names(std::size(kNormVariants));
  for (size_t i = 0; i < names.size(); ++i) names[i] = py::str(std::string(kNormVariants[i].name));
  return names;
}

py::typing::Dict<py::str, py::object> traits_of(const std::string& name) {
  const NormTraits& t = norm_variant(name);
  py::typing::Dict<py::str, py::object> d;
  d["name"] = std::string(t.name);
  d["scale"] = name_in(kScales, t.scale);
  d["grad_mean"] = t.grad_mean;
  d["grad_scale"] = t.grad_scale;
  d["output"] = name_in(kOutputs, t.output);
  d["group"] = name_in(kGroups, t.group);
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

Example:
    >>> nl.normalize(nl.tensor([1.0, 2.0, 3.0]), "layernorm").numpy().round(3)
    array([-1.225,  0.   ,  1.225], dtype=float32)
)doc";

Tensor normalize_in_python(const NormSettings& settings, const Tensor& x,
                           const std::string& variant, const std::optional<Tensor>& gain,
                           const std::optional<Tensor>& bias, const std::optional<Tensor>& alpha,
                           std::optional<int> axes, const std::optional<Tensor>& running_mean,
                           const std::optional<Tensor>& running_var, bool training) {
  const NormSpec spec{variant, settings};
  const int usual = spec.variant.group == Group::row ? 1 : std::max(1, x.rank() - 1);
  return normalize(x, spec,
                   {.gain = tensor_or_none(gain),
                    .bias = tensor_or_none(bias),
                    .alpha = tensor_or_none(alpha),
                    .running_mean = tensor_or_none(running_mean),
                    .running_var = tensor_or_none(running_var),
                    .axes = axes.value_or(usual),
                    .training = training});
}

// --- module -----------------------------------------------------------------------------------

template <class M>
std::shared_ptr<M> make_norm(const NormSettings& settings, const std::string& variant,
                             const Shape& size, bool track_running_stats) {
  NormSpec spec{variant, settings};
  spec.settings.track_running_stats = track_running_stats;
  return std::make_shared<M>(spec, size);
}

/// A learned tensor or running statistic of Norm, None where the variant has none.
template <class Class>
void bind_norm_member(Class& c, const char* name, Tensor NormParameters::*member, const char* doc) {
  c.def_property(
      name, [member](const nn::Norm& l) { return object_or_none(l.tensors().*member); },
      [name](const nn::Norm&, const Any&) {
        fail<ArgumentError>("Norm", name, " cannot be replaced; copy_() new values into it");
      },
      doc);
}

}  // namespace

void bind_norm_module(py::module_& m) {
  using nn::Norm;
  auto c =
      module_class<Norm, nn::Module>(m, "Norm",
                                     R"doc(Any normalisation variant, with the parameters it has.

gain (ones), bias (zeros), alpha (dyt, 0.5), scalenorm's gain sqrt(H), batchnorm's running
statistics and, with ``track_running_stats=True``, instancenorm's. See :func:`normlab.normalize` for
the options and :func:`normlab.norm_variants` for the names.
)doc");
  def_with_norm_settings(
      c,
      py::init(with_norm_settings(&make_norm<Norm>),
               with_norm_settings(&make_norm<Trampoline<Norm>>)),
      py::arg("variant"), py::arg("size"), py::kw_only(), py::arg("track_running_stats") = false,
      "size: the trailing axes that form a row, an int or several. ArgumentError for an option "
      "that the variant does not take, or out of its range.");
  c.def(
      "forward", [](Norm& l, const Tensor& x) { return l.Norm::forward(x); }, py::arg("x"),
      ReleaseGil(), "Shape of x.");
  bind_arguments<Norm>(c, [](const Norm& l) {
    py::dict arguments = norm_arguments(l.spec());
    arguments["variant"] = l.spec().name();
    arguments["size"] = l.size();
    arguments["track_running_stats"] = l.spec().settings.track_running_stats;
    return arguments;
  });
  bind_norm_member(c, "gain", &NormParameters::gain, "The gain or None.");
  bind_norm_member(c, "bias", &NormParameters::bias, "The bias or None.");
  bind_norm_member(c, "alpha", &NormParameters::alpha, "dyt's alpha or None.");
  bind_norm_member(c, "running_mean", &NormParameters::running_mean,
                   "batchnorm's or instancenorm's, or None.");
  bind_norm_member(c, "running_var", &NormParameters::running_var,
                   "batchnorm's or instancenorm's, or None.");
  c.def_property_readonly(
      "variant", [](const Norm& l) { return l.spec().name(); }, "The variant's name.");
  c.def_property_readonly(
      "size", [](const Norm& l) { return l.size(); }, "The trailing axes that form a row.");
  c.def("extra_repr", [](const Norm& l) {
    std::string text = l.spec().str(), size = py::repr(py::cast(l.size()));
    if (l.size().rank() == 1) size = std::to_string(l.size()[0]);
    return text.insert(l.spec().name().size() + 2, ", " + size);  // behind the quoted name
  });
}

void bind_norm(py::module_& m) {
  m.def(
      "norm_variants", [] { return py::typing::Tuple<py::str, py::ellipsis>(variant_names()); },
      "The names of all normalisation variants.\n\nExample:\n"
      "    >>> nl.norm_variants()[:3]\n    ('none', 'layernorm', 'layernorm_simple')");
  m.def("norm_traits", &traits_of, py::arg("name"),
        R"doc(The properties of one variant, as a dict.

Keys: ``name``; ``scale`` (a row's divisor: none, std, rms, l2, tanh); ``grad_mean`` and
``grad_scale`` (False: a constant in the backward pass); ``output`` (plain, affine, gain, bias,
adaptive, residual); ``group`` (what shares statistics: row, channels, channel, batch); ``clamp``;
``scalar_gain``. ArgumentError for an unknown name.

Example:
    >>> nl.norm_traits("detachnorm")["grad_mean"]
    False
)doc");
  def_with_norm_settings(m, "normalize", with_norm_settings(&normalize_in_python), py::arg("x"),
                         py::arg("variant"), py::kw_only(), py::arg("gain") = py::none(),
                         py::arg("bias") = py::none(), py::arg("alpha") = py::none(),
                         py::arg("axes") = py::none(), py::arg("running_mean") = py::none(),
                         py::arg("running_var") = py::none(), py::arg("training") = true,
                         ReleaseGil(), kNormalizeDoc);
  bind_norm_pass(m);
}

}  // namespace normlab::bindings
