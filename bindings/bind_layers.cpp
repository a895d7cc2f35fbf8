#include "attributes.h"
#include "layers.h"

namespace normlab::bindings {
namespace {

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
        "activation: none, relu, gelu, tanh, sigmoid, silu or softplus, fused with the product.");
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

class LeakyReLU : public Module {
 public:
  explicit LeakyReLU(double negative_slope) : negative_slope_(negative_slope) {}
  Tensor forward(const Tensor& x) override { return leaky_relu(x, negative_slope_); }
  double negative_slope() const { return negative_slope_; }

 private:
  double negative_slope_;
};

void bind_leaky_relu(py::module_& m) {
  auto c =
      module_class<LeakyReLU, Module>(m, "LeakyReLU", "x where x > 0, else negative_slope * x.");
  c.def(py::init<double>(), py::arg("negative_slope") = 0.01);
  bind_forward<LeakyReLU>(c, "Elementwise.");
  bind_arguments<LeakyReLU>(
      c, [](const LeakyReLU& l) { return py::dict("negative_slope"_a = l.negative_slope()); });
  c.def("extra_repr",
        [](const LeakyReLU& l) { return joined("negative_slope=", l.negative_slope()); });
}

void bind_activations(py::module_& m) {
  using nn::Activate;
  auto c = module_class<Activate, Module>(m, "Activate", "An activation by name, on its own.");
  c.def(py::init<Activation>(), py::arg("activation"),
        "none, relu, gelu, tanh, sigmoid, silu or softplus.");
  bind_forward<Activate>(c, "Elementwise.");
  bind_arguments<Activate>(
      c, [](const Activate& l) { return py::dict("activation"_a = l.activation()); });
  c.def("extra_repr", [](const Activate& l) { return std::string(name_of(l.activation())); });
  bind_fixed_activation<Activation::relu>(m, "ReLU", "max(x, 0).");
  bind_fixed_activation<Activation::gelu>(m, "GELU", "x Phi(x), the exact form.");
  bind_fixed_activation<Activation::tanh>(m, "Tanh", "Hyperbolic tangent.");
  bind_fixed_activation<Activation::sigmoid>(m, "Sigmoid", "1 / (1 + e ** -x).");
  bind_fixed_activation<Activation::silu>(m, "SiLU", "x * sigmoid(x).");
  bind_fixed_activation<Activation::softplus>(m, "Softplus", "log(1 + e ** x).");
  bind_leaky_relu(m);
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
        check<RangeError>(-n <= i && i < n, "Sequential", "position must be in [", -n, ", ", n,
                          "), got ", i);
        return Any(object_of(s.modules()[i < 0 ? i + n : i]));
      },
      py::arg("i"));
  c.def("__iter__", [](const py::object& self) {
    return py::reinterpret_steal<py::typing::Iterator<Any>>(PySeqIter_New(self.ptr()));
  });
}
}  // namespace

void bind_layers(py::module_& nn) {
  bind_linear(nn);
  bind_embedding(nn);
  bind_activations(nn);
  bind_dropout_and_flatten(nn);
  bind_sequential(nn);
}

}  // namespace normlab::bindings
