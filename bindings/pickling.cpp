#include "pickling.h"

#include "casters.h"

// Left alone, protocols 0 and 1 call the base class of pybind11's classes, which ends the process.

namespace normlab::bindings {
namespace {

py::tuple reduce(const py::object& self) {
  return py::make_tuple(py::module_::import("copyreg").attr("__newobj__"),
                        py::make_tuple(py::type::of(self)), self.attr("__getstate__")());
}

py::tuple refuse(const py::object& self) {
  fail<DtypeError>(class_name(self).c_str(),
                   "cannot be copied or pickled; make another from the same arguments");
}

/// True if the class or one of its bases defines how to pickle it.
bool says_how(const py::handle type) {
  const py::handle base(reinterpret_cast<PyObject*>(&PyBaseObject_Type));
  for (const char* name : {"__reduce__", "__reduce_ex__"})
    if (!type.attr(name).is(base.attr(name))) return true;
  return false;
}

}  // namespace

void settle_pickling(py::module_& m) {
  for (const auto& [name, member] : m.attr("__dict__").cast<py::dict>()) {
    const bool bound = PyType_Check(member.ptr()) && !PyExceptionClass_Check(member.ptr());
    if (!bound || says_how(member)) continue;
    const bool has_state = member.attr("__dict__").contains("__getstate__");
    py::setattr(member, "__reduce__",
                py::cpp_function(has_state ? &reduce : &refuse, py::name("__reduce__"),
                                 py::is_method(member)));
  }
}

}  // namespace normlab::bindings
