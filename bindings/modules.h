#pragma once

// How modules of the engine and objects of Python own each other.
//
// A module made in Python belongs to its Python object alone. When it becomes part of another, that
// one holds a reference to the object: so subclasses written in Python stay alive in C++
// containers, and the garbage collector, which traverse() shows these references, can free cycles.

#include "bind.h"
#include "function.h"
#include "identity.h"

namespace normlab::bindings {

using ModulePtr = std::shared_ptr<nn::Module>;

/// Deleter of a ModulePtr that hold() made.
struct ObjectOwner {
  PyObject* object;
  void operator()(nn::Module*) const { release_python(object); }
};

/// The module of a Python object as a part for another: owns one reference to the object.
ModulePtr hold(const py::object& module);
/// The Python object of a module.
py::object object_of(const ModulePtr& module);

/// Arguments that make a module of the same kind, by the names that its constructor has for them:
/// what pickle and deepcopy call it with.
using Arguments = py::typing::Dict<py::str, Any>;
/// Defines them for a class.
template <class M, class Class, class Get>
void bind_arguments(Class& c, const Get& get) {
  c.def(
      "_arguments", [get](const M& m) { return Arguments(get(m)); },
      "The constructor's arguments for a module like this.");
}
/// None for an undefined tensor.
inline std::optional<TensorObject> object_or_none(const Tensor& x) {
  return x.defined() ? std::optional(tensor_object(x)) : std::nullopt;
}
/// A Transformer's options by their names.
py::dict transformer_arguments(const nn::TransformerOptions& options);

/// nn.Norm.
void bind_norm_module(py::module_& nn);

/// Calls forward() of a Python subclass where it has one.
template <class Base>
class Trampoline : public Base {
 public:
  using Base::Base;
  Tensor forward(const Tensor& x) override {
    if (std::optional<Tensor> z = outlive_interpreter([&] { return forward_in_python(x); }))
      return *std::move(z);
    if constexpr (std::is_abstract_v<Base>)
      fail<ArgumentError>("Module", "a subclass must define forward(self, ...)");
    else
      return Base::forward(x);
  }

 private:
  std::optional<Tensor> forward_in_python(const Tensor& x) {
    const GilAcquire acquire;
    const py::function python = py::get_override(static_cast<const Base*>(this), "forward");
    if (!python || is_wrapped(python)) return std::nullopt;
    const py::object z = python(x);
    check<DtypeError>(py::isinstance<Tensor>(z), "forward",
                      "a module inside another must return a Tensor, got ",
                      Py_TYPE(z.ptr())->tp_name);
    return z.cast<Tensor>();
  }
};

/// True if Python's traversal of a subclass, which calls ours, has visited __dict__. It does so
/// where it believes that the subclass added it. A second visit would keep the object forever.
inline bool dict_is_visited(PyObject* self, traverseproc ours) {
  const PyTypeObject* base = Py_TYPE(self);
  while (base->tp_traverse != ours) base = base->tp_base;
  return Py_TYPE(self)->tp_dictoffset != base->tp_dictoffset;
}

/// tp_traverse: the instance's __dict__, and the references that hold() took.
template <class M>
int traverse(PyObject* self, visitproc visit, void* arg) {
  if (dict_is_visited(self, traverse<M>)) {
    Py_VISIT(Py_TYPE(self));
  } else if (const int stop = py::detail::pybind11_traverse(self, visit, arg)) {
    return stop;
  }
  if (!constructed(self)) return 0;
  auto* instance = reinterpret_cast<py::detail::instance*>(self);
  const auto* type = instance->simple_layout ? nullptr : py::detail::get_type_info(typeid(M));
  const nn::Module* module = instance->get_value_and_holder(type).template value_ptr<M>();
  for (const auto& child : module->children())
    if (const auto* owner = std::get_deleter<ObjectOwner>(child.second)) Py_VISIT(owner->object);
  return 0;
}

/// A class of modules, open to subclasses in Python.
template <class M, class... Parents>
auto module_class(py::module_& m, const char* name, const char* doc) {
  return py::class_<M, Parents..., Trampoline<M>, std::shared_ptr<M>>(
      m, name, py::dynamic_attr(), py::custom_type_setup([](PyHeapTypeObject* type) {
        type->ht_type.tp_traverse = traverse<M>;
      }),
      doc);
}

/// Binds save_model() and load_model(). `metadata`: what the file holds beside the parameters.
/// `refused`: what cannot be saved. `made`, `shown`: for the examples, Python's
/// lines that make a `model`, and its text.
template <class Model>
void bind_model_files(py::module_& m, Model (*load)(const std::string&),
                      const std::string& metadata, const std::string& refused,
                      const std::string& made, const std::string& shown) {
  using std::filesystem::path;
  const std::string full = py::str(m.attr("__name__"));
  const std::string call = "    >>> nl." + full.substr(full.rfind('.') + 1);
  const std::string example = "\n\nExample:\n" + made + call +
                              ".save_model('model.safetensors', model)\n" + call +
                              ".load_model('model.safetensors')\n    " + shown;
  const std::string doc =
      "Writes a model into one safetensors file.\n\nParameters as tensors; " + metadata +
      "\nand notes as metadata. FileError with path and reason; ArgumentError for\n" + refused +
      "." + example;
  m.def(
      "save_model", [](const path& to, const Model& model) { save_model(to.string(), model); },
      py::arg("path"), py::arg("model"), ReleaseGil(), doc.c_str());
  m.def(
      "load_model", [load](const path& from) { return load(from.string()); }, py::arg("path"),
      ReleaseGil(),
      (R"doc(Reads a model that :func:`save_model` wrote, in evaluation mode.

FileError, with the path, what is wrong and what was expected, for a file that is not safetensors or
a model of another task, or has a setting, tensor or entry missing or not as it must be.)doc" +
       example)
          .c_str());
}

}  // namespace normlab::bindings
