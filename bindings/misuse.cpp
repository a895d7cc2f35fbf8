#include "misuse.h"

// Arguments that no overload takes: pybind11 lists all overloads and all arguments, tensors with
// their elements. Every function here goes through call(), where normlab._misuse makes a sentence
// of that; what succeeds pays for one more jump.

namespace py = pybind11;

namespace normlab::bindings {
namespace {

using Call = PyObject* (*)(PyObject*, PyObject* const*, Py_ssize_t, PyObject*);

Call dispatch = nullptr;  // pybind11's, the same for all functions

py::object sentence(const py::object& text, PyObject* const* args, Py_ssize_t count,
                    PyObject* names) {
  py::list positional;
  for (Py_ssize_t i = 0; i < count; ++i) positional.append(py::handle(args[i]));
  py::dict named;
  for (Py_ssize_t i = 0; names && i < PyTuple_GET_SIZE(names); ++i)
    named[py::handle(PyTuple_GET_ITEM(names, i))] = py::handle(args[count + i]);
  return py::module_::import("normlab._misuse").attr("sentence")(text, positional, named);
}

/// Says the error that is set in a sentence, if it is pybind11's own and of this call.
void explain(PyObject* const* args, Py_ssize_t count, PyObject* names) {
  py::error_already_set error;
  try {
    const py::str text(error.value());
    if (!error.trace() && text.contains("(): incompatible ")) {
      const py::object said = sentence(text, args, count, names);
      PyErr_SetObject(PyExc_TypeError, said.ptr());
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
    explain(args, PyVectorcall_NARGS(count), names);
  return result;
}

/// What CPython calls for the function; nullptr for what is no function of pybind11.
PyMethodDef* method_of(const py::object& value) {
  const py::object function = py::getattr(value, "__func__", value);
  if (!PyCFunction_Check(function.ptr())) return nullptr;
  PyMethodDef* method = reinterpret_cast<PyCFunctionObject*>(function.ptr())->m_ml;
  return method->ml_flags == (METH_FASTCALL | METH_KEYWORDS) ? method : nullptr;
}

}  // namespace

void explain_misuse(py::handle scope) {
  const py::dict members(scope.attr("__dict__"));
  for (const auto& [name, value] : members) {
    const auto object = py::reinterpret_borrow<py::object>(value);
    if (PyType_Check(object.ptr())) {
      explain_misuse(object);
    } else if (PyMethodDef* method = method_of(object)) {
      const auto found = reinterpret_cast<Call>(reinterpret_cast<void (*)()>(method->ml_meth));
      if (!dispatch) dispatch = found;
      if (found != dispatch) continue;
      method->ml_meth = reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&call));
    }
  }
}

}  // namespace normlab::bindings
