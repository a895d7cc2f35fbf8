#include "bind.h"

namespace normlab::bindings {
namespace {

/// Python's classes for the engine's exceptions; they live as long as the process.
struct Exceptions {
  PyObject *error, *argument, *shape, *device, *grad, *dtype, *range, *file, *memory;
};
Exceptions exceptions;

PyObject* add_exception(py::module_& m, const char* name, const char* doc,
                        std::initializer_list<PyObject*> bases) {
  py::tuple parents(bases.size());
  size_t i = 0;
  for (PyObject* base : bases) parents[i++] = py::reinterpret_borrow<py::object>(base);
  const std::string full = std::string("normlab._core.") + name;
  PyObject* type = PyErr_NewExceptionWithDoc(full.c_str(), doc, parents.ptr(), nullptr);
  if (!type) throw py::error_already_set();
  m.add_object(name, type);
  return type;
}

/// As PyErr_SetString(), but for bytes that are not UTF-8, as a str that is given as bytes may have
/// them.
void raise(PyObject* type, const Error& error) {
  const std::string_view text = error.what();
  const auto said = py::reinterpret_steal<py::object>(
      PyUnicode_DecodeUTF8(text.data(), static_cast<py::ssize_t>(text.size()), "surrogateescape"));
  if (said) PyErr_SetObject(type, said.ptr());
}

/// Most derived first.
void translate(std::exception_ptr p) {
  const Exceptions& to = exceptions;
  try {
    std::rethrow_exception(std::move(p));
  } catch (const ShapeError& e) {
    raise(to.shape, e);
  } catch (const DeviceError& e) {
    raise(to.device, e);
  } catch (const GradError& e) {
    raise(to.grad, e);
  } catch (const ArgumentError& e) {
    raise(to.argument, e);
  } catch (const DtypeError& e) {
    raise(to.dtype, e);
  } catch (const RangeError& e) {
    raise(to.range, e);
  } catch (const FileError& e) {
    raise(to.file, e);
  } catch (const OutOfMemoryError& e) {
    raise(to.memory, e);
  } catch (const Error& e) {
    raise(to.error, e);
  }
}

}  // namespace

void bind_error(py::module_& m) {
  Exceptions& to = exceptions;
  to.error = add_exception(m, "Error",
                           "Base of every exception of normlab. The text reads\n"
                           "\"op: what must hold, what came, where it came from\".",
                           {PyExc_Exception});
  to.argument = add_exception(m, "ArgumentError", "An argument whose value is not allowed.",
                              {to.error, PyExc_ValueError});
  to.shape =
      add_exception(m, "ShapeError", "Shapes that do not fit the op or each other.", {to.argument});
  to.device =
      add_exception(m, "DeviceError", "A device that is absent, or operands on different devices.",
                    {to.argument});
  to.grad = add_exception(m, "GradError",
                          "Misuse of autograd: freed tape, several elements without a gradient,\n"
                          "an op without derivative, a change in place of what backward needs.",
                          {to.argument});
  to.dtype = add_exception(m, "DtypeError", "An element type that the op does not take.",
                           {to.error, PyExc_TypeError});
  to.range =
      add_exception(m, "RangeError", "An index outside its range.", {to.error, PyExc_IndexError});
  to.file = add_exception(m, "FileError", "A file that cannot be read, written or trusted.",
                          {to.error, PyExc_OSError});
  to.memory = add_exception(m, "OutOfMemoryError", "The system has no memory of that size left.",
                            {to.error, PyExc_MemoryError});
  py::register_local_exception_translator(&translate);
}

}  // namespace normlab::bindings
