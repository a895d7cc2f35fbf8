#include "bind.h"

namespace normlab::bindings {
namespace {

/// As PyErr_SetString(), but for bytes that are not UTF-8, as a str that is given as bytes may have
/// them.
void raise(py::handle type, const Error& error) {
  const std::string_view text = error.what();
  const auto said = py::reinterpret_steal<py::object>(
      PyUnicode_DecodeUTF8(text.data(), static_cast<py::ssize_t>(text.size()), "surrogateescape"));
  if (said) PyErr_SetObject(type.ptr(), said.ptr());
}

/// Python's class for an exception of the engine; it lives as long as the process.
template <class E>
py::handle bind_exception(py::module_& m, const char* name, py::handle base, py::handle builtin,
                          const char* doc) {
  static py::handle type;
  const std::string full = std::string("normlab._core.") + name;
  const py::tuple bases =
      builtin ? py::tuple(py::make_tuple(base, builtin)) : py::tuple(py::make_tuple(base));
  type = PyErr_NewExceptionWithDoc(full.c_str(), doc, bases.ptr(), nullptr);
  if (!type) throw py::error_already_set();
  m.add_object(name, type);
  py::register_local_exception_translator([](std::exception_ptr p) {
    try {
      std::rethrow_exception(std::move(p));
    } catch (const E& error) {
      raise(type, error);
    }
  });
  return type;
}

}  // namespace

/// The one that was bound last translates first: the base comes before what is derived from it.
void bind_error(py::module_& m) {
  const py::handle base =
      bind_exception<Error>(m, "Error", PyExc_Exception, {},
                            "Base of every exception of normlab. The text reads\n"
                            "\"op: what must hold, what came, where it came from\".");
  const py::handle argument = bind_exception<ArgumentError>(
      m, "ArgumentError", base, PyExc_ValueError, "An argument whose value is not allowed.");
  bind_exception<ShapeError>(m, "ShapeError", argument, {},
                             "Shapes that do not fit the op or each other.");
  bind_exception<DeviceError>(m, "DeviceError", argument, {},
                              "A device that is absent, or operands on different devices.");
  bind_exception<GradError>(m, "GradError", argument, {},
                            "Misuse of autograd: freed tape, several elements without a gradient,\n"
                            "an op without derivative, a change in place of what backward needs.");
  bind_exception<DtypeError>(m, "DtypeError", base, PyExc_TypeError,
                             "An element type that the op does not take.");
  bind_exception<RangeError>(m, "RangeError", base, PyExc_IndexError,
                             "An index outside its range.");
  bind_exception<FileError>(m, "FileError", base, PyExc_OSError,
                            "A file that cannot be read, written or trusted.");
  bind_exception<OutOfMemoryError>(m, "OutOfMemoryError", base, PyExc_MemoryError,
                                   "The system has no memory of that size left.");
}

}  // namespace normlab::bindings
