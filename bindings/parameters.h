#pragma once

// The parameters that an optimizer takes.

#include "casters.h"

namespace normlab::bindings {

/// Tensors and, from a dict, other options for them.
struct ParameterGroup {
  std::vector<Tensor> tensors;
  py::dict options;  ///< without "params"
};
/// Tensors, or (name, tensor) pairs, in one group; or dicts, a group each.
struct Parameters {
  std::vector<ParameterGroup> groups;
};

/// A group from its dict. ArgumentError if it has no "params", DtypeError if these are something
/// else.
ParameterGroup group_from(const py::dict& group);
/// nullopt if it is none of these.
std::optional<Parameters> parameters_from(py::handle source);

}  // namespace normlab::bindings

namespace pybind11::detail {

template <>
struct type_caster<normlab::bindings::Parameters> {
  PYBIND11_TYPE_CASTER(normlab::bindings::Parameters,
                       const_name("collections.abc.Iterable[") + const_name<normlab::Tensor>() +
                           const_name(" | tuple[str, ") + const_name<normlab::Tensor>() +
                           const_name("] | dict[str, typing.Any]]"));
  bool load(handle source, bool) {
    auto parameters = normlab::bindings::parameters_from(source);
    if (parameters) value = std::move(*parameters);
    return parameters.has_value();
  }
};

}  // namespace pybind11::detail
