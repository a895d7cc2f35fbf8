#include "function.h"

#include <structmember.h>

#include <string>

// pybind11's functions show no signature to inspect, and the error of a call that fits no overload
// lists every overload and prints every argument. A Function wraps each of them. The package adds
// to its type `__signature__`, `__doc__` and `error_of`, which makes a sentence of such an error.

namespace py = pybind11;

namespace normlab::bindings {
namespace {

struct Function {
  PyObject_HEAD vectorcallfunc call;
  PyObject* wrapped;
  PyObject* attributes;
  bool is_method;
};

PyTypeObject* function_type = nullptr;

Function* function_of(PyObject* self) {
  return reinterpret_cast<Function*>(self);
}

py::object error_of(PyObject* self, PyObject* const* args, size_t count, PyObject* names) {
  py::list positional;
  for (size_t i = 0; i < count; ++i) positional.append(py::handle(args[i]));
  py::dict named;
  for (py::ssize_t i = 0; names && i < PyTuple_GET_SIZE(names); ++i)
    named[py::handle(PyTuple_GET_ITEM(names, i))] = py::handle(args[count + i]);
  return py::handle(self).attr("error_of")(positional, named);
}

/// Replaces pybind11's error by a sentence. Errors that Python code raised stay.
void explain(PyObject* self, PyObject* const* args, size_t count, PyObject* names) {
  py::error_already_set error;
  try {
    const py::str text(error.value());
    if (!error.trace() && text.contains("(): incompatible ") && py::hasattr(self, "error_of")) {
      const py::object sentence = error_of(self, args, count, names);
      PyErr_SetObject(py::type::handle_of(sentence).ptr(), sentence.ptr());
      return;
    }
  } catch (py::error_already_set& another) {
    another.discard_as_unraisable(__func__);
  }
  error.restore();
}

PyObject* call(PyObject* self, PyObject* const* args, size_t count, PyObject* names) {
  PyObject* result = PyObject_Vectorcall(function_of(self)->wrapped, args, count, names);
  if (!result && PyErr_ExceptionMatches(PyExc_TypeError))
    explain(self, args, PyVectorcall_NARGS(count), names);
  return result;
}

/// Binds methods to their object. Functions of a module stay as they are in a class, too.
PyObject* bound(PyObject* self, PyObject* object, PyObject*) {
  if (object && function_of(self)->is_method) return PyMethod_New(self, object);
  return Py_NewRef(self);
}

/// Pickles by name.
PyObject* reduce(PyObject* self, PyObject*) {
  return PyObject_GetAttrString(self, "__qualname__");
}

void release(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  Py_XDECREF(function_of(self)->wrapped);
  Py_XDECREF(function_of(self)->attributes);
  type->tp_free(self);
  Py_DECREF(type);
}

py::object wrap(py::handle function, const char* shown, const std::string& qualname,
                bool is_method) {
  auto self = py::reinterpret_steal<py::object>(function_type->tp_alloc(function_type, 0));
  if (!self) throw py::error_already_set();
  Function* made = function_of(self.ptr());
  made->call = &call;
  made->wrapped = function.inc_ref().ptr();
  made->is_method = is_method;
  self.attr("__module__") = shown;
  self.attr("__qualname__") = qualname;
  self.attr("__name__") = qualname.substr(qualname.rfind('.') + 1);
  self.attr("__doc__") = function.attr("__doc__");
  return self;
}

/// The property with wrapped accessors.
py::object wrap_property(py::handle property, const char* shown, const std::string& qualname) {
  const auto accessor = [&](const char* name) -> py::object {
    const py::object function = property.attr(name);
    return function.is_none() ? function : wrap(function, shown, qualname, false);
  };
  return py::type::handle_of(property)(accessor("fget"), accessor("fset"), py::none(),
                                       property.attr("__doc__"));
}

/// The wrapped function or property in place of a member. None for other members.
py::object replacement(py::handle member, const char* shown, const std::string& qualname) {
  if (PyCFunction_Check(member.ptr())) return wrap(member, shown, qualname, false);
  if (PyInstanceMethod_Check(member.ptr()))
    return wrap(member.attr("__func__"), shown, qualname, true);
  if (Py_IS_TYPE(member.ptr(), &PyStaticMethod_Type))
    return py::type::handle_of(member)(wrap(member.attr("__func__"), shown, qualname, false));
  if (Py_IS_TYPE(member.ptr(), &PyProperty_Type)) return wrap_property(member, shown, qualname);
  return py::none();
}

void wrap_members(py::handle scope, const char* shown, const std::string& prefix) {
  const py::dict members(scope.attr("__dict__").attr("copy")());
  for (const auto& [key, member] : members) {
    const std::string name = py::str(key);
    // Other extensions look for pybind11's own method by its type.
    if (name == "__new__" || name.starts_with("_pybind11")) continue;
    if (PyType_Check(member.ptr())) {
      wrap_members(member, shown, prefix + name + '.');
    } else if (const py::object wrapped = replacement(member, shown, prefix + name);
               !wrapped.is_none()) {
      py::setattr(scope, name.c_str(), wrapped);
    }
  }
}

PyTypeObject* make_type() {
  static PyMemberDef members[] = {
      {"__vectorcalloffset__", T_PYSSIZET, offsetof(Function, call), READONLY, nullptr},
      {"__dictoffset__", T_PYSSIZET, offsetof(Function, attributes), READONLY, nullptr},
      {"__wrapped__", T_OBJECT_EX, offsetof(Function, wrapped), READONLY, nullptr},
      {}};
  static PyMethodDef methods[] = {{"__reduce__", &reduce, METH_NOARGS, nullptr}, {}};
  PyType_Slot slots[] = {{Py_tp_members, members},
                         {Py_tp_methods, methods},
                         {Py_tp_call, reinterpret_cast<void*>(&PyVectorcall_Call)},
                         {Py_tp_descr_get, reinterpret_cast<void*>(&bound)},
                         {Py_tp_dealloc, reinterpret_cast<void*>(&release)},
                         {}};
  PyType_Spec spec{
      "normlab.function", sizeof(Function), 0,
      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
  PyObject* type = PyType_FromSpec(&spec);
  if (!type) throw py::error_already_set();
  return reinterpret_cast<PyTypeObject*>(type);
}

}  // namespace

void wrap_functions(py::module_& m, const char* shown) {
  if (!function_type) function_type = make_type();
  wrap_members(m, shown, "");
}

bool is_wrapped(py::handle object) {
  PyObject* function =
      PyMethod_Check(object.ptr()) ? PyMethod_GET_FUNCTION(object.ptr()) : object.ptr();
  return Py_IS_TYPE(function, function_type);
}

}  // namespace normlab::bindings
