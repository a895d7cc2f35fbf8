#include <algorithm>
#include <array>

#include "attributes.h"
#include "layers.h"

namespace normlab::bindings {

ModulePtr hold(const py::object& module) {
  auto* raw = module.cast<nn::Module*>();
  return {raw, ObjectOwner{module.inc_ref().ptr()}};
}

py::object object_of(const ModulePtr& module) {
  if (const auto* owner = std::get_deleter<ObjectOwner>(module))
    return py::reinterpret_borrow<py::object>(owner->object);
  return py::cast(module);
}

namespace {

using ModuleClass = py::class_<Module, Trampoline<Module>, std::shared_ptr<Module>>;

std::string indented(const std::string& text) {
  std::string out;
  for (const char c : text) {
    out += c;
    if (c == '\n') out += "  ";
  }
  return out;
}

std::string repr(const py::object& self) {
  std::string out = py::str(py::type::handle_of(self).attr("__name__"));
  out += '(' + py::str(self.attr("extra_repr")()).cast<std::string>();
  const auto& children = self.cast<const Module&>().children();
  for (const auto& [name, child] : children)
    out += "\n  (" + name + "): " + indented(py::repr(object_of(child)));
  return out + (children.empty() ? ")" : "\n)");
}

py::list named_modules(const py::object& self) {
  const auto& module = self.cast<const Module&>();
  py::list list;
  for (const auto& [name, part] : module.named_modules())
    list.append(py::make_tuple(name, part.get() == &module ? self : object_of(part)));
  return list;
}

void bind_registration(ModuleClass& c) {
  c.def("__setattr__", &set_attribute, py::arg("name"), py::arg("value"))
      .def("__delattr__", &delete_attribute, py::arg("name"))
      .def(
          "register_parameter",
          [](const py::object& self, const py::str& name, Tensor value) {
            value.set_requires_grad();
            add_parameter(self, name, py::cast(value));
            return value;
          },
          py::arg("name"), py::arg("value"),
          "Makes a leaf tensor a parameter under that name, and an attribute. Returns it.")
      .def(
          "register_buffer",
          [](const py::object& self, const py::str& name, const Tensor& value) {
            add_buffer(self, name, py::cast(value));
            return value;
          },
          py::arg("name"), py::arg("value"),
          "Makes a tensor part of the saved state that is not trained, and an attribute. Returns "
          "it.")
      .def(
          "register_module",
          [](const py::object& self, const py::str& name, const py::object& module) {
            check<DtypeError>(is_module(module), "register_module", "needs a Module, got ",
                              Py_TYPE(module.ptr())->tp_name);
            add_module(self, name, module);
            return Any(module);
          },
          py::arg("name"), py::arg("module"),
          "Makes a module a part of this one under that name, and an attribute. Returns it.");
}

void bind_parts(ModuleClass& c) {
  c.def(
       "named_parameters",
       [](const py::object& self) {
         warn_of_all_parts(self);
         return tensor_objects(self.cast<const Module&>().named_parameters());
       },
       "(dotted name, tensor) of each parameter once, in order of registration.")
      .def(
          "parameters",
          [](const py::object& self) {
            warn_of_all_parts(self);
            return tensor_objects(self.cast<const Module&>().parameters());
          },
          "Each parameter once, in order of registration.")
      .def(
          "named_buffers", [](const Module& m) { return tensor_objects(m.named_buffers()); },
          "(dotted name, tensor) of what is saved but not trained.")
      .def(
          "named_modules",
          [](const py::object& self) {
            return py::typing::List<py::typing::Tuple<py::str, Module>>(named_modules(self));
          },
          "(dotted name, module) of all submodules, however deep, without the module itself.")
      .def("num_parameters", &Module::num_parameters, "Number of trained numbers.")
      .def(
          "extra_repr", [](const Module&) { return ""; },
          "The text of repr() between the brackets.")
      .def("__repr__", &repr);
}

void bind_state(ModuleClass& c) {
  c.def(
       "state",
       [](const py::object& self, bool copy) {
         warn_of_all_parts(self);
         const auto& module = self.cast<const Module&>();
         return tensor_objects(without_gil([&] { return module.state(copy); }));
       },
       py::kw_only(), py::arg("copy") = false,
       R"doc(Parameters and buffers by dotted name.

They share storage with the module, and so follow its training: ``best = net.state()`` is never
older than the net. ``net.state(copy=True)`` stays as it is.
)doc")
      .def("load_state", &Module::load_state, py::arg("state"), py::kw_only(),
           py::arg("allow_nonfinite") = false, ReleaseGil(),
           R"doc(Copies values in: all or, on an error, none.

ArgumentError listing missing and unexpected names; ShapeError, DtypeError. ArgumentError too,
naming the tensor and the place, for a value that is infinite or NaN, unless ``allow_nonfinite``.
)doc")
      .def("zero_grad", &Module::zero_grad, "Clears the gradients of all parameters.");
}

// --- copies -----------------------------------------------------------------------------------

using NamedObjects = std::vector<std::pair<std::string, py::object>>;

/// Own (parameters, buffers, modules, training), without those of submodules.
py::tuple parts_of(const py::object& self) {
  const auto& module = self.cast<const Module&>();
  py::list modules;
  for (const auto& [name, child] : module.children())
    modules.append(py::make_tuple(name, object_of(child)));
  return py::make_tuple(tensor_objects(module.own_parameters()),
                        tensor_objects(module.own_buffers()), modules, module.training());
}

/// Replaces the parts of a module that was just made.
void set_parts(Module& module, const NamedObjects& parameters, const NamedObjects& buffers,
               const NamedObjects& modules, bool training) {
  for (const NamedObjects* tensors : {&parameters, &buffers})
    for (const auto& [name, object] : *tensors)
      check<DtypeError>(py::isinstance<Tensor>(object), "Module", name, " is no tensor");
  for (const auto& [name, object] : modules)
    check<DtypeError>(is_module(object), "Module", name, " is no module");
  const auto names = [](const auto& list) {
    std::vector<std::string> names;
    for (const auto& item : list) names.push_back(item.first);
    return names;
  };
  for (const auto& own :
       {names(module.own_parameters()), names(module.own_buffers()), names(module.children())})
    for (const std::string& name : own) module.unregister(name);
  module.train(training);
  for (const auto& [name, object] : parameters) {
    auto x = object.cast<Tensor>();
    const bool trained = x.requires_grad();
    module.register_parameter(name, x);
    x.set_requires_grad(trained);
    keep_tensor_object(object);
  }
  for (const auto& [name, object] : buffers) {
    module.register_buffer(name, object.cast<Tensor>());
    keep_tensor_object(object);
  }
  for (const auto& [name, object] : modules) module.register_module(name, hold(object));
}

void bind_copies(ModuleClass& c) {
  c.def("_parts", &parts_of, "Own parameters, buffers, modules, and training.")
      .def("_set_parts", &set_parts, py::arg("parameters"), py::arg("buffers"), py::arg("modules"),
           py::arg("training"), "Replaces the parts.");
  c.def_static(
      "_without_drawing",
      [](const py::function& make) {
        const Generator before = default_generator();
        const Any made(make());
        default_generator() = before;
        return made;
      },
      py::arg("make"), "make(); this thread's random numbers go on as if it had drawn none.");
  bind_arguments<Module>(c, [](const Module&) { return py::dict(); });
}

/// To the dtype or device that to() was given.
void move_to(const py::object& self, const py::object& target) {
  warn_of_all_parts(self);
  check<DtypeError>(!target.is_none(), "to", "target must be a device or a dtype, got None");
  auto& module = self.cast<Module&>();
  if (py::isinstance<py::str>(target)) {
    const auto name = target.cast<std::string>();
    const auto begins = [&](const char* type) { return name.starts_with(type); };
    if (!std::ranges::any_of(std::array{"float", "bfloat", "int", "uint", "bool", "half", "double"},
                             begins))
      return without_gil([&] { module.to(device_named(name)); });
  }
  const DType dtype = dtype_from(target);
  without_gil([&] { module.to(dtype); });
}

void bind_calls(ModuleClass& c) {
  c.def(py::init<>());
  c.def(
      "forward",
      [](const py::object& self, const py::args&, const py::kwargs&) -> Any {
        fail<ArgumentError>(Py_TYPE(self.ptr())->tp_name, "must define forward(self, ...)");
      },
      "Computes the output. Subclasses define it, with any arguments.");
  c.def("__call__", [](const py::object& self, const py::args& args, const py::kwargs& kwargs) {
    return Any(self.attr("forward")(*args, **kwargs));
  });
}

void bind_modes(ModuleClass& c) {
  c.def_property_readonly("training", &Module::training,
                          "True if dropout and batch statistics are on.");
  c.def(
      "train",
      [](const py::object& self, bool on) {
        self.cast<Module&>().train(on);
        return Self(self);
      },
      py::arg("on") = true,
      "Switches dropout and batch statistics on or off, here and in all submodules. Returns "
      "self.");
  c.def(
      "eval",
      [](const py::object& self) {
        self.cast<Module&>().eval();
        return Self(self);
      },
      "``train(False)``. Returns self.");
}

void bind_moves(ModuleClass& c) {
  c.def(
      "to",
      [](const py::object& self, const py::object& target) {
        move_to(self, target);
        return Self(self);
      },
      py::arg("target"),
      R"doc(Moves parameters, gradients and buffers to a device, or converts them to a type.

Args:
    target: ``"cpu"``, ``"cuda"``, or a dtype: ``"float32"``, ``"float64"``.

Here and in submodules. They stay the same objects: an optimizer that was made before goes on with
them, and takes its own state along at its next step. Buffers of integers keep their type. Returns
self. DeviceError without a GPU, DtypeError for another type; nothing is changed then.
)doc");
  c.def(
      "to",
      [](const py::object& self, const std::optional<py::str>& device,
         const std::optional<DType>& dtype) {
        if (device) move_to(self, *device);
        if (dtype) move_to(self, py::cast(*dtype));
        return Self(self);
      },
      py::kw_only(), py::arg("device") = py::none(), py::arg("dtype") = py::none(),
      "As above, by names.");
}

constexpr const char* kModuleDoc = R"doc(A part of a network.

Subclass it: call ``super().__init__()``, assign modules and parameters to attributes, define
``forward``::

    class Net(nl.nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden = nl.nn.Linear(784, 128, activation="relu")
            self.scale = nl.nn.Parameter(nl.ones(10))

        def forward(self, x):
            return self.hidden(x)[:, :10] * self.scale

Modules and leaf tensors that require a gradient are registered under the attribute's name;
``del net.scale`` takes them out again. Dotted names ("hidden.weight") reach into submodules.
)doc";

}  // namespace

void bind_nn(py::module_& nn) {
  auto base = module_class<Module>(nn, "Module", kModuleDoc);
  bind_calls(base);
  bind_modes(base);
  bind_moves(base);
  bind_registration(base);
  bind_parts(base);
  bind_state(base);
  bind_copies(base);
  nn.def(
      "Parameter",
      [](const Any& x) {
        Tensor leaf = tensor_from(x).detach();
        leaf.set_requires_grad();
        return leaf;
      },
      py::arg("x"),
      "A leaf on the storage of ``x`` (see :func:`normlab.tensor`) that requires a gradient."
      "\n\nExample:\n    >>> nl.nn.Parameter(nl.zeros(3)).requires_grad\n    True");
  bind_layers(nn);
  bind_window_layers(nn);
  bind_norm_module(nn);
}

}  // namespace normlab::bindings
