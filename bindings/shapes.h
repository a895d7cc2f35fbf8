#pragma once

// Functions that take a shape, as one argument or length by length.

#include "casters.h"

namespace normlab::bindings {

inline Shape shape_from(const char* op, const py::args& lengths) {
  const py::object source = lengths.size() == 1 ? py::object(lengths[0]) : py::object(lengths);
  const auto found = integers_from(source);
  if (!found)
    fail<DtypeError>(op, "the shape must be integers, got ", std::string(py::repr(source)));
  return Shape(std::span<const int64_t>(*found));
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
        const Shape shape = shape_from(name, lengths);
        return without_gil([&] { return make(shape, rest...); });
      },
      extra..., "The same, given length by length.");
}

}  // namespace normlab::bindings
