#include "bind.h"
#include "function.h"
#include "pickling.h"

namespace normlab::bindings {
namespace {

/// Classes and exceptions show the name under which users import them: "normlab.ShapeError".
void rename_module(const py::module_& m, const char* name) {
  for (const auto& [key, value] : m.attr("__dict__").cast<py::dict>())
    if (PyType_Check(value.ptr())) py::setattr(value, "__module__", py::str(name));
}

/// Lists what users import: neither private names nor submodules.
void list_names(py::module_& m) {
  py::list names;
  for (const auto& [key, value] : m.attr("__dict__").cast<py::dict>())
    if (!py::str(key).cast<std::string>().starts_with('_') && !PyModule_Check(value.ptr()))
      names.append(key);
  m.attr("__all__") = names;
}

/// Completes a module whose classes and functions are all bound. `shown` is its public name.
void settle(py::module_& m, const char* shown) {
  settle_pickling(m);
  wrap_functions(m, shown);
  rename_module(m, shown);
  list_names(m);
}

/// The engine has one state a process. ImportError at once: pybind11 would wait for a lock for
/// ever.
bool is_main_interpreter() {
  if (PyInterpreterState_Get() == PyInterpreterState_Main()) return true;
  PyErr_SetString(PyExc_ImportError,
                  "normlab: works in the main interpreter alone, not in a sub-interpreter; use "
                  "threads or processes");
  return false;
}

}  // namespace
}  // namespace normlab::bindings

int pybind11_exec__core(PyObject* m);

/// Before CPython 3.13 the first function is what a sub-interpreter calls, later this one.
int execute(PyObject* m) {
  return normlab::bindings::is_main_interpreter() ? pybind11_exec__core(m) : -1;
}

// PYBIND11_MODULE() with a question before all else.
PYBIND11_PLUGIN_IMPL(_core) {
  if (!normlab::bindings::is_main_interpreter()) return nullptr;
  PYBIND11_CHECK_PYTHON_VERSION
  try {
    py::detail::ensure_internals();
    static py::detail::slots_array slots = py::detail::init_slots(&execute);
    static PyModuleDef definition{PyModuleDef_HEAD_INIT, "_core", nullptr, 0,      nullptr,
                                  slots.data(),          nullptr, nullptr, nullptr};
    return PyModuleDef_Init(&definition);
  }
  PYBIND11_CATCH_INIT_EXCEPTIONS
  return nullptr;
}

PYBIND11_MODULE_EXEC(_core, m) {
  using namespace normlab::bindings;  // NOLINT
  m.doc() = "The engine of normlab. Use it through `import normlab`.";
  m.attr("__version__") = normlab::version();

  bind_error(m);
  bind_info(m);
  TensorClass tensor = bind_tensor(m);
  bind_factories(m);
  bind_autograd(m, tensor);
  bind_random(m);
  bind_ops(m, tensor);
  bind_norm(m);
  bind_io(m);
  py::module_ nn = m.def_submodule("nn", "Modules: parts of networks that hold parameters.");
  bind_nn(nn);
  bind_transformer(nn);
  bind_probe(m);  // after nn: it takes a Module
  py::module_ optim = m.def_submodule("optim", "Optimizers and learning-rate schedules.");
  bind_optim(optim);
  py::module_ text = m.def_submodule("text", "From lines of text to labels.");
  bind_text(text);
  py::module_ language = m.def_submodule("language", "Language models of characters.");
  bind_language(language);
  py::module_ cuda = m.def_submodule("cuda", "The GPU.");
  bind_cuda(cuda);
  py::module_ parse = m.def_submodule("parse", "Dependency parsing.");
  bind_parse(parse);
  py::module_ translate = m.def_submodule("translate", "Machine translation.");
  bind_translate(translate);

  settle(m, "normlab");
  settle(nn, "normlab.nn");
  settle(optim, "normlab.optim");
  settle(text, "normlab.text");
  settle(language, "normlab.language");
  settle(cuda, "normlab.cuda");
  settle(parse, "normlab.parse");
  settle(translate, "normlab.translate");
}
