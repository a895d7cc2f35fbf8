#pragma once

// Attributes of modules: what Python assigns becomes a submodule, a parameter or a buffer.

#include "modules.h"

namespace normlab::bindings {

bool is_module(py::handle value);

void add_module(const py::object& self, const py::str& name, const py::object& value);
void add_parameter(const py::object& self, const py::str& name, const py::object& value);
void add_buffer(const py::object& self, const py::str& name, const py::object& value);

/// `__setattr__` and `__delattr__`.
void set_attribute(const py::object& self, const py::str& name, const py::object& value);
void delete_attribute(const py::object& self, const py::str& name);

/// Warns of modules and parameters that plain lists, tuples and dicts hide, anywhere in the tree:
/// lists may have grown since they were assigned.
void warn_of_all_parts(const py::object& self);

}  // namespace normlab::bindings
