#pragma once

// Functions that the bindings of layers share.

#include "modules.h"

namespace normlab::bindings {

using namespace py::literals;
using nn::Module;

/// Bind the layers of one file each.
void bind_layers(py::module_& nn);
void bind_window_layers(py::module_& nn);

inline std::string with_activation(Activation activation) {
  return activation == Activation::none ? "" : joined(", activation=", name_of(activation));
}

/// forward() of this very class: Python finds overriding ones itself.
template <class M, class Class>
void bind_forward(Class& c, const char* doc) {
  c.def(
      "forward", [](M& m, const Tensor& x) { return m.M::forward(x); }, py::arg("x"), ReleaseGil(),
      doc);
}

/// Assigning to weight or bias of a layer registers the new tensor.
template <class M>
auto member_setter(const char* name, Tensor M::*member) {
  return [member, name](M& m, const Tensor& value) {
    const Tensor& before = m.*member;
    check<ArgumentError>(before.defined(), name, "this layer was made without one");
    check(value.shape() == before.shape(), name, "must have shape ", before.shape(), ", got ",
          value.shape());
    check<ArgumentError>(value.is_leaf() && value.requires_grad(), name,
                         "is a parameter: copy_() new values into it, or assign nl.nn.Parameter(x) "
                         "before the optimizer is made");
    m.*member = m.register_parameter(name, value);
  };
}

template <class M, class Class>
void bind_weight(Class& c, const char* doc) {
  c.def_property(
      "weight", [](const M& m) { return tensor_object(m.weight); },
      member_setter("weight", &M::weight), doc);
}

template <class M, class Class>
void bind_bias(Class& c) {
  c.def_property(
      "bias", [](const M& m) { return object_or_none(m.bias); }, member_setter("bias", &M::bias),
      "``(out,)``, or None if made without one.");
}

}  // namespace normlab::bindings
