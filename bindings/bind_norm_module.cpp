#include "layers.h"

namespace normlab::bindings {

py::dict norm_arguments(const NormOptions& o) {
  return py::dict("eps"_a = o.eps,
                  "denominator"_a = o.denominator == Denominator::var_eps ? "var_eps" : "std_eps",
                  "C"_a = o.C, "k"_a = o.k, "topk_share"_a = o.topk_share);
}

namespace {

template <class M>
std::shared_ptr<M> make_norm(const std::string& variant, const Shape& size, double eps,
                             const std::string& denominator, double C, double k,
                             std::optional<int64_t> groups, double momentum, double topk_share,
                             bool track_running_stats) {
  NormOptions options;
  options.eps = eps;
  options.denominator = denominator_named(denominator);
  options.C = C;
  options.k = k;
  options.topk_share = topk_share;
  options.groups = groups.value_or(0);
  options.momentum = momentum;
  options.track_running_stats = track_running_stats;
  return std::make_shared<M>(variant, size, options);
}

/// ", name=value" for each option that is not the default.
std::string changed_options(const NormOptions& o) {
  const NormOptions usual;
  const auto number = [](const char* name, auto value, auto other) {
    return value == other ? "" : joined(", ", name, '=', value);
  };
  return number("eps", o.eps, usual.eps) +
         (o.denominator == usual.denominator ? "" : ", denominator='std_eps'") +
         number("C", o.C, usual.C) + number("k", o.k, usual.k) +
         number("groups", o.groups, usual.groups) + number("momentum", o.momentum, usual.momentum) +
         number("topk_share", o.topk_share, usual.topk_share) +
         (o.track_running_stats ? ", track_running_stats=True" : "");
}

/// A learned tensor or running statistic of Norm, None where the variant has none.
template <class Class>
void bind_norm_member(Class& c, const char* name, Tensor NormOptions::*member, const char* doc) {
  c.def_property(
      name, [member](const nn::Norm& l) { return object_or_none(l.options().*member); },
      [name](const nn::Norm&, const Any&) {
        fail<ArgumentError>("Norm", name, " cannot be replaced; copy_() new values into it");
      },
      doc);
}
}  // namespace

void bind_norm_module(py::module_& m) {
  using nn::Norm;
  auto c = module_class<Norm, Module>(m, "Norm",
                                      R"doc(Any normalisation variant, with the parameters it has.

gain (ones), bias (zeros), alpha (dyt, 0.5), scalenorm's gain sqrt(H), batchnorm's running
statistics and, with ``track_running_stats=True``, instancenorm's. See :func:`normlab.normalize` for
the options and :func:`normlab.norm_variants` for the names.
)doc");
  c.def(py::init(&make_norm<Norm>, &make_norm<Trampoline<Norm>>), py::arg("variant"),
        py::arg("size"), py::kw_only(), py::arg("eps") = 1e-5, py::arg("denominator") = "var_eps",
        py::arg("C") = 1.0, py::arg("k") = 0.1, py::arg("groups") = py::none(),
        py::arg("momentum") = 0.1, py::arg("topk_share") = 0.005,
        py::arg("track_running_stats") = false,
        "size: the trailing axes that form a row, an int or several. ArgumentError for an option "
        "that the variant does not take, or out of its range.");
  bind_forward<Norm>(c, "Shape of x.");
  bind_arguments<Norm>(c, [](const Norm& l) {
    py::dict arguments = norm_arguments(l.options());
    arguments["variant"] = std::string(l.traits().name);
    arguments["size"] = l.size();
    if (l.options().groups > 0) arguments["groups"] = l.options().groups;
    arguments["momentum"] = l.options().momentum;
    arguments["track_running_stats"] = l.options().track_running_stats;
    return arguments;
  });
  bind_norm_member(c, "gain", &NormOptions::gain, "The gain or None.");
  bind_norm_member(c, "bias", &NormOptions::bias, "The bias or None.");
  bind_norm_member(c, "alpha", &NormOptions::alpha, "dyt's alpha or None.");
  bind_norm_member(c, "running_mean", &NormOptions::running_mean,
                   "batchnorm's or instancenorm's, or None.");
  bind_norm_member(c, "running_var", &NormOptions::running_var,
                   "batchnorm's or instancenorm's, or None.");
  c.def_property_readonly(
      "variant", [](const Norm& l) { return std::string(l.traits().name); }, "The variant's name.");
  c.def_property_readonly(
      "size", [](const Norm& l) { return l.size(); }, "The trailing axes that form a row.");
  c.def("extra_repr", [](const Norm& l) {
    std::string size = py::repr(py::cast(l.size()));
    if (l.size().rank() == 1) size = std::to_string(l.size()[0]);
    return joined('\'', l.traits().name, "', ", size, changed_options(l.options()));
  });
}

}  // namespace normlab::bindings
