#pragma once

// The settings of a norm as Python's keywords, for every function and class that takes a norm.

#include <utility>

#include "bind.h"

namespace normlab::bindings {

/// The passes of a norm alone, for bind_norm().
void bind_norm_pass(py::module_& m);

/// function(settings, own...) as Python calls it: own..., then a keyword for each setting.
template <class Result, class... Own>
auto with_norm_settings(Result (*function)(const NormSettings&, Own...)) {
  return [function](Own... own, double eps, const std::string& denominator, double C, double k,
                    std::optional<int64_t> groups, double momentum, double topk_share) {
    return function({.eps = eps,
                     .denominator = denominator_named(denominator),
                     .C = C,
                     .k = k,
                     .groups = groups.value_or(0),
                     .momentum = momentum,
                     .topk_share = topk_share},
                    std::forward<Own>(own)...);
  };
}

/// Defines what with_norm_settings() made: `own` are the function, its own arguments and its text.
template <class Scope, class... Extra>
void def_with_norm_settings(Scope& scope, Extra&&... own) {
  const NormSettings usual;
  scope.def(std::forward<Extra>(own)..., py::arg("eps") = usual.eps,
            py::arg("denominator") = name_of(usual.denominator), py::arg("C") = usual.C,
            py::arg("k") = usual.k, py::arg("groups") = py::none(),
            py::arg("momentum") = usual.momentum, py::arg("topk_share") = usual.topk_share);
}

/// The keywords for a norm of the same settings.
inline py::dict norm_arguments(const NormSpec& spec) {
  py::dict arguments;
  for_each_setting(spec.variant, [&](const char* name, auto member, SettingRange, bool) {
    const auto& value = spec.settings.*member;
    using Value = std::decay_t<decltype(value)>;
    if constexpr (std::is_same_v<Value, Denominator>)
      arguments[name] = name_of(value);
    else if constexpr (std::is_same_v<Value, int64_t>)  // groups, of which 0 is the default
      arguments[name] = value ? py::object(py::int_(value)) : py::none();
    else if constexpr (std::is_same_v<Value, double>)
      arguments[name] = value;
  });
  return arguments;
}

}  // namespace normlab::bindings
