#include "misuse.h"

#include <map>
#include <string>

// Arguments that no overload takes: pybind11 lists all overloads and all arguments, tensors with
// their elements. Every function here goes through call(), where normlab._misuse makes a sentence
// of that; what succeeds pays for one more jump.

namespace py = pybind11;

namespace normlab::bindings {
namespace {

using Call = PyObject* (*)(PyObject*, PyObject* const*, Py_ssize_t, PyObject*);

Call dispatch = nullptr;  // pybind11's, the same for all functions

/// The property that a function gets or sets, by what CPython calls it with: its own name is empty.
std::map<PyObject*, std::string> properties;

std::string property_of(PyObject* self) {
  const auto found = properties.find(self);
  return found == properties.end() ? "" : found->second;
}

py::object error_of(const py::object& text, PyObject* self, PyObject* const* args, Py_ssize_t count,
                    PyObject* names) {
  py::list positional;
  for (Py_ssize_t i = 0; i < count; ++i) positional.append(py::handle(args[i]));
  py::dict named;
  for (Py_ssize_t i = 0; names && i < PyTuple_GET_SIZE(names); ++i)
    named[py::handle(PyTuple_GET_ITEM(names, i))] = py::handle(args[count + i]);
  return py::module_::import("normlab._misuse")
      .attr("error_of")(text, positional, named, property_of(self));
}

/// Says the error that is set in a sentence, if it is pybind11's own and of this call.
void explain(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  py::error_already_set error;
  try {
    const py::str text(error.value());
    if (!error.trace() && text.contains("(): incompatible ")) {
      const py::object said = error_of(text, self, args, count, names);
      PyErr_SetObject(py::type::handle_of(said).ptr(), said.ptr());
      return;
    }
  } catch (py::error_already_set& another) {
    another.discard_as_unraisable(__func__);
  }
  error.restore();
}

PyObject* call(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  PyObject* result = dispatch(self, args, count, names);
  if (!result && PyErr_ExceptionMatches(PyExc_TypeError))
    explain(self, args, PyVectorcall_NARGS(count), names);
  return result;
}

/// The function of pybind11 that the object is or wraps; nullptr if there is none.
PyCFunctionObject* function_of(const py::object& value) {
  const py::object function = py::getattr(value, "__func__", value);
  if (!PyCFunction_Check(function.ptr())) return nullptr;
  auto* found = reinterpret_cast<PyCFunctionObject*>(function.ptr());
  return found->m_ml->ml_flags == (METH_FASTCALL | METH_KEYWORDS) ? found : nullptr;
}

void pass_through_call(PyMethodDef* method) {
  const auto found = reinterpret_cast<Call>(reinterpret_cast<void (*)()>(method->ml_meth));
  if (!dispatch) dispatch = found;
  if (found == dispatch)
    method->ml_meth = reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&call));
}

}  // namespace

void explain_misuse(py::handle scope) {
  const py::dict members(scope.attr("__dict__"));
  for (const auto& [name, value] : members) {
    const auto object = py::reinterpret_borrow<py::object>(value);
    if (PyType_Check(object.ptr())) {
      explain_misuse(object);
    } else if (PyCFunctionObject* function = function_of(object)) {
      pass_through_call(function->m_ml);
    } else {
      for (const char* accessor : {"fget", "fset"})
        if (PyCFunctionObject* function = function_of(py::getattr(object, accessor, py::none()))) {
          properties.emplace(function->m_self, py::str(name));
          pass_through_call(function->m_ml);
        }
    }
  }
}

}  // namespace normlab::bindings
