#pragma once

// Functions that take a shape, as one argument or length by length.

#include "casters.h"

namespace normlab::bindings {

/// A new leaf.
inline Tensor finished(Tensor x, bool requires_grad) {
  if (requires_grad) x.set_requires_grad();
  return x;
}

/// m.def() of a function of a shape, which may also be given length by length.
template <class... Rest, class... Extra>
void def_shaped(py::module_& m, const char* name, Tensor (*make)(const Shape&, Rest...),
                const char* doc, const Extra&... extra) {
  m.def(name, make, py::arg("shape"), py::kw_only(), extra..., ReleaseGil(), doc);
  m.def(
      name,
      [name, make](const py::Args<int64_t>& lengths, Rest... rest) {
        check<DtypeError>(!lengths.empty(), name, "needs a shape, as in ", name, "((2, 3))");
        const auto found = integers_from(lengths);
        if (!found) throw py::reference_cast_error();  // to pybind11: these arguments do not fit
        const Shape shape{std::span<const int64_t>(*found)};
        return without_gil([&] { return make(shape, rest...); });
      },
      extra..., "As above, length by length.");
}

}  // namespace normlab::bindings
