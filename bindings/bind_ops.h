#pragma once

#include "bind.h"

// Parts of bind_ops().

namespace normlab::bindings {

/// A function of the module and a method of Tensor.
template <class F, class... Extra>
void bind_both(py::module_& m, TensorClass& c, const char* name, F f, const Extra&... extra) {
  m.def(name, f, py::arg("x"), extra..., ReleaseGil());
  c.def(name, f, extra..., ReleaseGil());
}

void bind_elementwise(py::module_& m, TensorClass& c);
void bind_reductions(py::module_& m, TensorClass& c);
/// Shapes and indexing.
void bind_rearrangements(py::module_& m, TensorClass& c);

}  // namespace normlab::bindings
