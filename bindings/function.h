#pragma once

#include <pybind11/pybind11.h>

namespace normlab::bindings {

/// Wraps the functions of a module and of its classes. `shown` is the module that users import.
void wrap_functions(pybind11::module_& m, const char* shown);
/// Returns true for a wrapped function and for a bound method of one.
bool is_wrapped(pybind11::handle object);

}  // namespace normlab::bindings
