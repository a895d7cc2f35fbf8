#pragma once

#include <pybind11/pybind11.h>

namespace normlab::bindings {

/// Has wrong arguments of all functions in the module, and of its classes, told in a sentence.
void explain_misuse(pybind11::handle scope);

}  // namespace normlab::bindings
