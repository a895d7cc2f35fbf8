#pragma once

#include <pybind11/pybind11.h>

namespace normlab::bindings {

/// Completes the classes of a module: what has py::pickle() can be pickled in every protocol, what
/// says nothing of it is refused in words.
void settle_pickling(pybind11::module_& m);

}  // namespace normlab::bindings
