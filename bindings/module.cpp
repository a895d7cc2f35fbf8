#include "bind.h"
#include "misuse.h"

namespace normlab::bindings {
namespace {

/// Classes and exceptions show the name under which users import them: "normlab.ShapeError".
void rename_module(const py::module_& m, const char* name) {
  for (const auto& [key, value] : m.attr("__dict__").cast<py::dict>())
    if (PyType_Check(value.ptr())) py::setattr(value, "__module__", py::str(name));
}

}  // namespace
}  // namespace normlab::bindings

PYBIND11_MODULE(_core, m) {
  using namespace normlab::bindings;  // NOLINT
  m.doc() = "The engine of normlab. Use it through `import normlab`.";
  m.attr("__version__") = normlab::version();

  bind_error(m);
  bind_info(m);
  TensorClass tensor = bind_tensor(m);
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
  py::module_ cuda = m.def_submodule("cuda", "The GPU.");
  bind_cuda(cuda);
  py::module_ parse = m.def_submodule("parse", "Dependency parsing.");
  bind_parse(parse);

  for (const py::module_& module : {m, nn, optim, text, cuda, parse}) explain_misuse(module);
  rename_module(m, "normlab");
  rename_module(nn, "normlab.nn");
  rename_module(optim, "normlab.optim");
  rename_module(text, "normlab.text");
  rename_module(cuda, "normlab.cuda");
  rename_module(parse, "normlab.parse");
}
