#include <algorithm>
#include <array>

#include "modules.h"
#include "windows.h"

namespace normlab::bindings {

using namespace py::literals;

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

using nn::Module;
using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

// --- attributes -------------------------------------------------------------------------------

bool is_module(py::handle value) {
  return py::isinstance<Module>(value);
}

bool is_parameter(py::handle value) {
  if (!py::isinstance<Tensor>(value)) return false;
  const auto& x = value.cast<const Tensor&>();
  return x.requires_grad() && x.is_leaf();
}

bool has_name(const NamedTensors& list, const std::string& name) {
  for (const auto& item : list)
    if (item.first == name) return true;
  return false;
}

/// A property or slot of the class comes before what an instance may hold.
bool has_setter(py::handle self, const py::str& name) {
  const py::object found = py::getattr(py::type::handle_of(self), name, py::none());
  return Py_TYPE(found.ptr())->tp_descr_set != nullptr;
}

void set_plainly(const py::object& self, const py::str& name, const py::object& value) {
  if (PyObject_GenericSetAttr(self.ptr(), name.ptr(), value.ptr()) != 0)
    throw py::error_already_set();
}

void check_constructed(const py::object& self, const std::string& name) {
  check<ValueError>(constructed(self), Py_TYPE(self.ptr())->tp_name,
                    "call super().__init__() before assigning the module or parameter '", name,
                    "'");
}

/// Registers the value and keeps it as an attribute; a property of the class does both itself.
template <class Register>
void add_part(const py::object& self, const py::str& name, const py::object& value,
              Register enter) {
  check_constructed(self, name);
  if (!has_setter(self, name)) enter(self.cast<Module&>(), std::string(name));
  set_plainly(self, name, value);
}

void add_module(const py::object& self, const py::str& name, const py::object& value) {
  add_part(self, name, value,
           [&](Module& m, const std::string& text) { m.register_module(text, hold(value)); });
}

void add_parameter(const py::object& self, const py::str& name, const py::object& value) {
  keep_tensor_object(value);
  add_part(self, name, value, [&](Module& m, const std::string& text) {
    m.register_parameter(text, value.cast<Tensor>());
  });
}

void add_buffer(const py::object& self, const py::str& name, const py::object& value) {
  keep_tensor_object(value);
  add_part(self, name, value, [&](Module& m, const std::string& text) {
    m.register_buffer(text, value.cast<Tensor>());
  });
}

// --- lists and dicts of modules ---------------------------------------------------------------

bool may_hold_parts(py::handle value) {
  return (PyList_Check(value.ptr()) && PyList_GET_SIZE(value.ptr()) > 0) ||
         (PyTuple_Check(value.ptr()) && PyTuple_GET_SIZE(value.ptr()) > 0) ||
         (PyDict_Check(value.ptr()) && PyDict_GET_SIZE(value.ptr()) > 0);
}

/// Warns of modules and parameters that a plain list, tuple or dict hides from `root`.
void warn_of_parts(const py::object& root, const py::object& self, py::handle name,
                   py::handle value) {
  if (may_hold_parts(value))
    py::module_::import("normlab.nn._hidden").attr("warn_of_parts")(root, self, name, value);
}

/// The same for all attributes in the tree: lists may have grown since they were assigned.
void warn_of_all_parts(const py::object& self) {
  std::vector<py::object> modules = {self};
  for (const auto& [name, part] : self.cast<const Module&>().named_modules())
    modules.push_back(object_of(part));
  for (const py::object& module : modules) {
    const py::dict attributes(module.attr("__dict__"));
    for (const auto& [name, value] : attributes) {
      if (!may_hold_parts(value)) continue;
      // A copy: warnings may run code that changes the dict.
      const py::dict now(attributes.attr("copy")());
      for (const auto& [key, held] : now) warn_of_parts(self, module, key, held);
      break;
    }
  }
}

/// Any other value: what was registered under the name leaves the module, unless that would
/// silently turn a parameter into a plain tensor.
void set_other(const py::object& self, const py::str& name, const py::object& value) {
  if (constructed(self)) {
    auto& parent = self.cast<Module&>();
    if (py::isinstance<Tensor>(value)) {
      check<ValueError>(
          !has_name(parent.named_parameters(), name), Py_TYPE(self.ptr())->tp_name, "'",
          std::string(name),
          "' is a parameter: copy_() new values into it, or assign nl.nn.Parameter(x)");
      if (has_name(parent.named_buffers(), name)) return add_buffer(self, name, value);
    }
    parent.unregister(name);
  }
  set_plainly(self, name, value);
  if (constructed(self)) warn_of_parts(self, self, name, value);
}

void set_attribute(const py::object& self, const py::str& name, const py::object& value) {
  if (has_setter(self, name)) return set_plainly(self, name, value);
  if (is_module(value)) return add_module(self, name, value);
  if (is_parameter(value)) return add_parameter(self, name, value);
  set_other(self, name, value);
}

void delete_attribute(const py::object& self, const py::str& name) {
  if (constructed(self) && !has_setter(self, name)) self.cast<Module&>().unregister(name);
  if (PyObject_GenericSetAttr(self.ptr(), name.ptr(), nullptr) != 0) throw py::error_already_set();
}

// --- printing ---------------------------------------------------------------------------------

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

template <class... Parts>
std::string joined(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

std::string with_activation(Activation activation) {
  return activation == Activation::none ? "" : joined(", activation=", name_of(activation));
}

std::string pair_text(int64_t h, int64_t w) {
  return h == w ? std::to_string(h) : joined('(', h, ", ", w, ')');
}

// --- the base ---------------------------------------------------------------------------------

py::list named_modules(const py::object& self) {
  const auto& module = self.cast<const Module&>();
  py::list list;
  for (const auto& [name, part] : module.named_modules())
    list.append(py::make_tuple(name, part.get() == &module ? self : object_of(part)));
  return list;
}

template <class Class>
void bind_registration(Class& c) {
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

template <class Class>
void bind_inspection(Class& c) {
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
      .def("num_parameters", &Module::num_parameters, "How many numbers are trained.")
      .def_property_readonly("training", &Module::training,
                             "Whether dropout and batch statistics are on.")
      .def(
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
      .def("zero_grad", &Module::zero_grad, "Clears the gradients of all parameters.")
      .def(
          "extra_repr", [](const Module&) { return ""; }, "What repr() shows between the brackets.")
      .def("__repr__", &repr);
}

// --- copies -----------------------------------------------------------------------------------

using NamedObjects = std::vector<std::pair<std::string, py::object>>;

/// What is registered here, without submodules' own: (parameters, buffers, modules, training).
py::tuple parts_of(const py::object& self) {
  const auto& module = self.cast<const Module&>();
  py::list modules;
  for (const auto& [name, child] : module.children())
    modules.append(py::make_tuple(name, object_of(child)));
  return py::make_tuple(tensor_objects(module.own_parameters()),
                        tensor_objects(module.own_buffers()), modules, module.training());
}

/// Makes these the parts of a module that was just made, instead of those that it has.
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

template <class Class>
void bind_copies(Class& c) {
  c.def("_parts", &parts_of, "What is registered here: parameters, buffers, modules, training.")
      .def("_set_parts", &set_parts, py::arg("parameters"), py::arg("buffers"), py::arg("modules"),
           py::arg("training"), "Makes these the parts, instead of those that there are.");
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

template <class Class>
void bind_base(Class& c) {
  c.def(py::init<>());
  c.def(
      "forward",
      [](const py::object& self, const py::args&, const py::kwargs&) -> Any {
        fail<ValueError>(Py_TYPE(self.ptr())->tp_name, "must define forward(self, ...)");
      },
      "Computes the output. Subclasses define it, with any arguments.");
  c.def("__call__", [](const py::object& self, const py::args& args, const py::kwargs& kwargs) {
    return Any(self.attr("forward")(*args, **kwargs));
  });
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
      "The same with names.");
  bind_registration(c);
  bind_inspection(c);
  bind_copies(c);
}

// --- layers -----------------------------------------------------------------------------------

/// forward() of this very class: Python finds overriding ones itself.
template <class M, class Class>
void bind_forward(Class& c, const char* doc) {
  c.def(
      "forward", [](M& m, const Tensor& x) { return m.M::forward(x); }, py::arg("x"), ReleaseGil(),
      doc);
}

/// Assigning to weight or bias of a layer registers the new tensor.
template <class M>
auto member_setter(const char* name, Tensor M::*member) {
  return [member, name](M& m, const Tensor& value) {
    const Tensor& before = m.*member;
    check<ValueError>(before.defined(), name, "this layer was made without one");
    check(value.shape() == before.shape(), name, "must have shape ", before.shape(), ", got ",
          value.shape());
    check<ValueError>(value.is_leaf() && value.requires_grad(), name,
                      "is a parameter: copy_() new values into it, or assign nl.nn.Parameter(x) "
                      "before the optimizer is made");
    m.*member = m.register_parameter(name, value);
  };
}

template <class M, class Class>
void bind_weight(Class& c, const char* doc) {
  c.def_property(
      "weight", [](const M& m) { return tensor_object(m.weight); },
      member_setter("weight", &M::weight), doc);
}

template <class M, class Class>
void bind_bias(Class& c) {
  c.def_property(
      "bias", [](const M& m) { return object_or_none(m.bias); }, member_setter("bias", &M::bias),
      "``(out,)``, or None if made without one.");
}

template <class M>
std::shared_ptr<M> make_conv2d(int64_t in, int64_t out, Pair kernel, Pair stride, Padding padding,
                               Pair dilation, int64_t groups, bool bias, Activation activation) {
  return std::make_shared<M>(in, out, std::pair(kernel.h, kernel.w),
                             conv_options(stride, padding, dilation, groups, activation), bias);
}

template <class M>
std::shared_ptr<M> make_max_pool2d(Pair kernel, std::optional<Pair> stride, Pair padding) {
  return std::make_shared<M>(pool_options(kernel, stride, padding));
}

template <class M>
std::shared_ptr<M> make_avg_pool2d(Pair kernel, std::optional<Pair> stride, Pair padding,
                                   bool count_include_pad) {
  return std::make_shared<M>(pool_options(kernel, stride, padding, count_include_pad));
}

template <class M>
std::shared_ptr<M> make_sequential(const py::args& modules) {
  std::vector<ModulePtr> parts;
  for (const py::handle module : modules) {
    check<DtypeError>(is_module(module), "Sequential", "takes modules, got ",
                      Py_TYPE(module.ptr())->tp_name);
    parts.push_back(hold(py::reinterpret_borrow<py::object>(module)));
  }
  return std::make_shared<M>(std::move(parts));
}

void bind_linear(py::module_& m) {
  using nn::Linear;
  auto c = module_class<Linear, Module>(m, "Linear", R"doc(activation(x weight^T + bias).

Weights uniform in +-1/sqrt(in), from this thread's random numbers.
)doc");
  c.def(py::init<int64_t, int64_t, bool, Activation>(), py::arg("in_size"), py::arg("out_size"),
        py::arg("bias") = true, py::arg("activation") = "none",
        "activation: none, relu, gelu, tanh or sigmoid, fused with the product.");
  bind_forward<Linear>(c, "``(..., in) -> (..., out)``.");
  bind_weight<Linear>(c, "``(out, in)``.");
  bind_bias<Linear>(c);
  bind_arguments<Linear>(c, [](const Linear& l) {
    return py::dict("in_size"_a = l.weight.size(1), "out_size"_a = l.weight.size(0),
                    "bias"_a = l.bias.defined(), "activation"_a = l.activation());
  });
  c.def("extra_repr", [](const Linear& l) {
    return joined(l.weight.size(1), ", ", l.weight.size(0), l.bias ? "" : ", bias=False",
                  with_activation(l.activation()));
  });
}

void bind_conv2d(py::module_& m) {
  using nn::Conv2d;
  auto c = module_class<Conv2d, Module>(m, "Conv2d", R"doc(2-D convolution over ``(N, C, H, W)``.

Weights uniform in +-1/sqrt(in / groups * kh * kw). See :func:`normlab.conv2d`.
)doc");
  c.def(py::init(&make_conv2d<Conv2d>, &make_conv2d<Trampoline<Conv2d>>), py::arg("in_channels"),
        py::arg("out_channels"), py::arg("kernel"), py::arg("stride") = 1, py::arg("padding") = 0,
        py::arg("dilation") = 1, py::arg("groups") = 1, py::arg("bias") = true,
        py::arg("activation") = "none",
        "kernel, stride, padding and dilation: an int or (height, width); padding also \"same\" or "
        "\"valid\". groups = in_channels: depthwise.");
  bind_forward<Conv2d>(c, "``(N, in, H, W) -> (N, out, OH, OW)``.");
  bind_weight<Conv2d>(c, "``(out, in // groups, kh, kw)``.");
  bind_bias<Conv2d>(c);
  bind_arguments<Conv2d>(c, [](const Conv2d& l) {
    const Conv2dOptions& o = l.options();
    const Shape& w = l.weight.shape();
    const py::object padding =
        o.same ? py::object(py::str("same")) : py::cast(std::pair(o.padding_h, o.padding_w));
    return py::dict("in_channels"_a = w[1] * o.groups, "out_channels"_a = w[0],
                    "kernel"_a = std::pair(w[2], w[3]),
                    "stride"_a = std::pair(o.stride_h, o.stride_w), "padding"_a = padding,
                    "dilation"_a = std::pair(o.dilation_h, o.dilation_w), "groups"_a = o.groups,
                    "bias"_a = l.bias.defined(), "activation"_a = o.activation);
  });
  c.def("extra_repr", [](const Conv2d& l) {
    const Conv2dOptions& o = l.options();
    const Shape& w = l.weight.shape();
    const bool dilated = o.dilation_h != 1 || o.dilation_w != 1;
    return joined(w[1] * o.groups, ", ", w[0], ", kernel=", pair_text(w[2], w[3]),
                  ", stride=", pair_text(o.stride_h, o.stride_w),
                  ", padding=", o.same ? "'same'" : pair_text(o.padding_h, o.padding_w),
                  dilated ? joined(", dilation=", pair_text(o.dilation_h, o.dilation_w)) : "",
                  o.groups != 1 ? joined(", groups=", o.groups) : "", l.bias ? "" : ", bias=False",
                  with_activation(o.activation));
  });
}

template <class M, class Class>
void finish_pool(Class& c) {
  bind_forward<M>(c, "``(N, C, H, W) -> (N, C, OH, OW)``.");
  bind_arguments<M>(c, [](const M& l) {
    const Pool2dOptions& o = l.options();
    py::dict arguments("kernel"_a = std::pair(o.kernel_h, o.kernel_w),
                       "padding"_a = std::pair(o.padding_h, o.padding_w));
    if constexpr (std::is_same_v<M, nn::AvgPool2d>)
      arguments["count_include_pad"] = o.count_include_pad;
    if (o.stride_h) arguments["stride"] = std::pair(o.stride_h, o.stride_w);
    return arguments;
  });
  c.def("extra_repr", [](const M& l) {
    const Pool2dOptions& o = l.options();
    const bool padded = o.padding_h != 0 || o.padding_w != 0;
    return joined("kernel=", pair_text(o.kernel_h, o.kernel_w),
                  o.stride_h ? joined(", stride=", pair_text(o.stride_h, o.stride_w)) : "",
                  padded ? joined(", padding=", pair_text(o.padding_h, o.padding_w)) : "",
                  o.count_include_pad ? "" : ", count_include_pad=False");
  });
}

void bind_pools(py::module_& m) {
  using nn::AvgPool2d;
  using nn::MaxPool2d;
  constexpr const char* kInit =
      "kernel, stride and padding: an int or (height, width); stride None is the kernel's size, "
      "padding at most half of it.";
  auto max = module_class<MaxPool2d, Module>(m, "MaxPool2d", "Greatest of each window.");
  max.def(py::init(&make_max_pool2d<MaxPool2d>, &make_max_pool2d<Trampoline<MaxPool2d>>),
          py::arg("kernel") = 2, py::arg("stride") = py::none(), py::arg("padding") = 0, kInit);
  finish_pool<MaxPool2d>(max);
  auto mean = module_class<AvgPool2d, Module>(
      m, "AvgPool2d", "Mean of each window. See :func:`normlab.avg_pool2d`.");
  mean.def(py::init(&make_avg_pool2d<AvgPool2d>, &make_avg_pool2d<Trampoline<AvgPool2d>>),
           py::arg("kernel") = 2, py::arg("stride") = py::none(), py::arg("padding") = 0,
           py::kw_only(), py::arg("count_include_pad") = true, kInit);
  finish_pool<AvgPool2d>(mean);
}

void bind_embedding(py::module_& m) {
  using nn::Embedding;
  auto c =
      module_class<Embedding, Module>(m, "Embedding", "A table of vectors, normal(0, 1) at first.");
  c.def(py::init<int64_t, int64_t, std::optional<int64_t>>(), py::arg("count"), py::arg("size"),
        py::arg("padding_index") = py::none(), "Row ``padding_index`` is zero and stays so.");
  bind_forward<Embedding>(c, "int32 or int64 ``(...) -> (..., size)``; each in [0, count).");
  bind_weight<Embedding>(c, "``(count, size)``.");
  bind_arguments<Embedding>(c, [](const Embedding& l) {
    return py::dict("count"_a = l.weight.size(0), "size"_a = l.weight.size(1),
                    "padding_index"_a = l.padding_index());
  });
  c.def("extra_repr", [](const Embedding& l) {
    return joined(l.weight.size(0), ", ", l.weight.size(1),
                  l.padding_index() ? joined(", padding_index=", *l.padding_index()) : "");
  });
}

template <Activation A>
struct Fixed : nn::Activate {
  Fixed() : Activate(A) {}
};

template <Activation A>
void bind_fixed_activation(py::module_& m, const char* name, const char* doc) {
  auto c = module_class<Fixed<A>, nn::Activate>(m, name, doc);
  c.def(py::init<>());
  c.def("extra_repr", [](const Fixed<A>&) { return ""; });
  bind_arguments<Fixed<A>>(c, [](const Fixed<A>&) { return py::dict(); });
}

void bind_activations(py::module_& m) {
  using nn::Activate;
  auto c = module_class<Activate, Module>(m, "Activate", "An activation by name, on its own.");
  c.def(py::init<Activation>(), py::arg("activation"), "none, relu, gelu, tanh or sigmoid.");
  bind_forward<Activate>(c, "Elementwise.");
  bind_arguments<Activate>(
      c, [](const Activate& l) { return py::dict("activation"_a = l.activation()); });
  c.def("extra_repr", [](const Activate& l) { return std::string(name_of(l.activation())); });
  bind_fixed_activation<Activation::relu>(m, "ReLU", "max(x, 0).");
  bind_fixed_activation<Activation::gelu>(m, "GELU", "x Phi(x), the exact form.");
  bind_fixed_activation<Activation::tanh>(m, "Tanh", "Hyperbolic tangent.");
  bind_fixed_activation<Activation::sigmoid>(m, "Sigmoid", "1 / (1 + e ** -x).");
}

void bind_dropout_and_flatten(py::module_& m) {
  auto d = module_class<nn::Dropout, Module>(
      m, "Dropout", "Zeroes elements with probability p while training, and scales the rest up.");
  d.def(py::init<double>(), py::arg("p") = 0.5, "p in [0, 1).");
  bind_forward<nn::Dropout>(d, "Shape of x.");
  bind_arguments<nn::Dropout>(d, [](const nn::Dropout& l) { return py::dict("p"_a = l.p()); });
  d.def("extra_repr", [](const nn::Dropout& l) { return joined("p=", l.p()); });

  auto f =
      module_class<nn::Flatten, Module>(m, "Flatten", "Joins axes; by default all but the first.");
  f.def(py::init<int, int>(), py::arg("start") = 1, py::arg("end") = -1,
        "Joins axes start to end, both included.");
  bind_forward<nn::Flatten>(f, "Shares storage with x.");
  bind_arguments<nn::Flatten>(
      f, [](const nn::Flatten& l) { return py::dict("start"_a = l.from(), "end"_a = l.to()); });
  f.def("extra_repr", [](const nn::Flatten& l) { return joined(l.from(), ", ", l.to()); });
}

void bind_sequential(py::module_& m) {
  using nn::Sequential;
  auto c = module_class<Sequential, Module>(m, "Sequential",
                                            "Modules one after the other, named \"0\", \"1\", ...");
  c.def(py::init(&make_sequential<Sequential>, &make_sequential<Trampoline<Sequential>>),
        "Sequential(first, second, ...)");
  bind_forward<Sequential>(c, "The last module's output.");
  bind_arguments<Sequential>(c, [](const Sequential&) { return py::dict(); });
  c.def(
      "append",
      [](const py::object& self, const py::object& module) {
        check<DtypeError>(is_module(module), "Sequential", "takes modules, got ",
                          Py_TYPE(module.ptr())->tp_name);
        auto& list = self.cast<Sequential&>();
        list.append(hold(module));
        return Self(self);
      },
      py::arg("module"), "Adds a module at the end. Returns self.");
  c.def("__len__", [](const Sequential& s) { return s.modules().size(); });
  c.def(
      "__getitem__",
      [](const Sequential& s, int64_t i) {
        const auto n = static_cast<int64_t>(s.modules().size());
        check<IndexError>(-n <= i && i < n, "Sequential", "position must be in [", -n, ", ", n,
                          "), got ", i);
        return Any(object_of(s.modules()[i < 0 ? i + n : i]));
      },
      py::arg("i"));
  c.def("__iter__", [](const py::object& self) {
    return py::reinterpret_steal<py::typing::Iterator<Any>>(PySeqIter_New(self.ptr()));
  });
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
  bind_base(base);
  nn.def(
      "Parameter",
      [](const Any& x) {
        Tensor leaf = tensor_from(x).detach();
        leaf.set_requires_grad();
        return leaf;
      },
      py::arg("x"),
      "A leaf on the storage of ``x`` (see :func:`normlab.tensor`) that requires a gradient.");
  bind_linear(nn);
  bind_conv2d(nn);
  bind_pools(nn);
  bind_embedding(nn);
  bind_activations(nn);
  bind_dropout_and_flatten(nn);
  bind_norm_module(nn);
  bind_sequential(nn);
}

}  // namespace normlab::bindings
