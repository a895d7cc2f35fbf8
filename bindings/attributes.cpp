#include "attributes.h"

namespace normlab::bindings {
namespace {

using nn::Module;
using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

bool is_parameter(py::handle value) {
  if (!py::isinstance<Tensor>(value)) return false;
  const auto& x = value.cast<const Tensor&>();
  return x.requires_grad() && x.is_leaf();
}

bool has_name(const NamedTensors& list, const std::string& name) {
  for (const auto& item : list)
    if (item.first == name) return true;
  return false;
}

/// A property or slot of the class comes before what an instance may hold.
bool has_setter(py::handle self, const py::str& name) {
  const py::object found = py::getattr(py::type::handle_of(self), name, py::none());
  return Py_TYPE(found.ptr())->tp_descr_set != nullptr;
}

void set_plainly(const py::object& self, const py::str& name, const py::object& value) {
  if (PyObject_GenericSetAttr(self.ptr(), name.ptr(), value.ptr()) != 0)
    throw py::error_already_set();
}

void check_constructed(const py::object& self, const std::string& name) {
  check<ArgumentError>(constructed(self), Py_TYPE(self.ptr())->tp_name,
                       "call super().__init__() before assigning the module or parameter '", name,
                       "'");
}

/// Registers the value and keeps it as an attribute; a property of the class does both itself.
template <class Register>
void add_part(const py::object& self, const py::str& name, const py::object& value,
              Register enter) {
  check_constructed(self, name);
  if (!has_setter(self, name)) enter(self.cast<Module&>(), std::string(name));
  set_plainly(self, name, value);
}

bool may_hold_parts(py::handle value) {
  return (PyList_Check(value.ptr()) && PyList_GET_SIZE(value.ptr()) > 0) ||
         (PyTuple_Check(value.ptr()) && PyTuple_GET_SIZE(value.ptr()) > 0) ||
         (PyDict_Check(value.ptr()) && PyDict_GET_SIZE(value.ptr()) > 0);
}

/// Warns of modules and parameters that a plain list, tuple or dict hides from `root`.
void warn_of_parts(const py::object& root, const py::object& self, py::handle name,
                   py::handle value) {
  if (may_hold_parts(value))
    py::module_::import("normlab.nn._hidden").attr("warn_of_parts")(root, self, name, value);
}

}  // namespace

bool is_module(py::handle value) {
  return py::isinstance<Module>(value);
}

void add_module(const py::object& self, const py::str& name, const py::object& value) {
  add_part(self, name, value,
           [&](Module& m, const std::string& text) { m.register_module(text, hold(value)); });
}

void add_parameter(const py::object& self, const py::str& name, const py::object& value) {
  keep_tensor_object(value);
  add_part(self, name, value, [&](Module& m, const std::string& text) {
    m.register_parameter(text, value.cast<Tensor>());
  });
}

void add_buffer(const py::object& self, const py::str& name, const py::object& value) {
  keep_tensor_object(value);
  add_part(self, name, value, [&](Module& m, const std::string& text) {
    m.register_buffer(text, value.cast<Tensor>());
  });
}

void warn_of_all_parts(const py::object& self) {
  std::vector<py::object> modules = {self};
  for (const auto& [name, part] : self.cast<const Module&>().named_modules())
    modules.push_back(object_of(part));
  for (const py::object& module : modules) {
    const py::dict attributes(module.attr("__dict__"));
    for (const auto& [name, value] : attributes) {
      if (!may_hold_parts(value)) continue;
      // A copy: warnings may run code that changes the dict.
      const py::dict now(attributes.attr("copy")());
      for (const auto& [key, held] : now) warn_of_parts(self, module, key, held);
      break;
    }
  }
}

namespace {

/// Any other value: what was registered under the name leaves the module, unless that would
/// silently turn a parameter into a plain tensor.
void set_other(const py::object& self, const py::str& name, const py::object& value) {
  if (constructed(self)) {
    auto& parent = self.cast<Module&>();
    if (py::isinstance<Tensor>(value)) {
      check<ArgumentError>(
          !has_name(parent.named_parameters(), name), Py_TYPE(self.ptr())->tp_name, "'",
          std::string(name),
          "' is a parameter: copy_() new values into it, or assign nl.nn.Parameter(x)");
      if (has_name(parent.named_buffers(), name)) return add_buffer(self, name, value);
    }
    parent.unregister(name);
  }
  set_plainly(self, name, value);
  if (constructed(self)) warn_of_parts(self, self, name, value);
}

}  // namespace

void set_attribute(const py::object& self, const py::str& name, const py::object& value) {
  if (has_setter(self, name)) return set_plainly(self, name, value);
  if (is_module(value)) return add_module(self, name, value);
  if (is_parameter(value)) return add_parameter(self, name, value);
  set_other(self, name, value);
}

void delete_attribute(const py::object& self, const py::str& name) {
  if (constructed(self) && !has_setter(self, name)) self.cast<Module&>().unregister(name);
  if (PyObject_GenericSetAttr(self.ptr(), name.ptr(), nullptr) != 0) throw py::error_already_set();
}

}  // namespace normlab::bindings
