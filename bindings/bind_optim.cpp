#include "bind.h"

namespace normlab::bindings {
namespace {

using optim::AdamOptions;
using optim::Optimizer;

constexpr const char* kConstructorErrors =
    "\n\nRaises:\n"
    "    ArgumentError: no parameters, one given twice, or one that requires no gradient.\n"
    "    DtypeError: a parameter that is not float32.\n";

AdamOptions adam_options(std::pair<double, double> betas, double eps, double weight_decay) {
  return {betas.first, betas.second, eps, weight_decay};
}

void bind_base(py::module_& m) {
  py::class_<Optimizer, std::shared_ptr<Optimizer>>(
      m, "Optimizer", "Updates float32 parameters from their gradients, all in one fused pass.")
      .def("step", &Optimizer::step, ReleaseGil(),
           "One update. Parameters without a gradient are left alone. DeviceError unless they are "
           "all on one device.")
      .def("zero_grad", &Optimizer::zero_grad, ReleaseGil(), "Clears all gradients.")
      .def_property("lr", &Optimizer::lr, &Optimizer::set_lr,
                    "Learning rate. ArgumentError unless it is finite and not negative.")
      .def(
          "parameters", [](const Optimizer& o) { return o.parameters(); },
          "The parameters, in order.")
      .def("state", &Optimizer::state, R"doc(Moments and step count by name.

With the parameters' values, all that an unbroken run would have. The learning rate belongs to the
schedule and is not part of it.
)doc")
      .def("load_state", &Optimizer::load_state, py::arg("state"), ReleaseGil(),
           "Takes over what ``state()`` returned. ArgumentError / ShapeError if it does not fit.");
}

template <class Class>
void bind_adam(Class& c, double weight_decay, const std::string& doc) {
  c.def(py::init([](Tensors params, double lr, std::pair<double, double> betas, double eps,
                    double decay) {
          return std::make_shared<typename Class::type>(std::move(params.list), lr,
                                                        adam_options(betas, eps, decay));
        }),
        py::arg("params"), py::arg("lr") = 1e-3, py::arg("betas") = py::make_tuple(0.9, 0.999),
        py::arg("eps") = 1e-8, py::arg("weight_decay") = weight_decay,
        (doc + kConstructorErrors).c_str());
}

void bind_schedules(py::module_& m) {
  m.def("constant", &optim::constant, py::arg("lr"),
        "The same rate always. Returns a function of the step number, which starts at 1.");
  m.def("linear_warmup", &optim::linear_warmup, py::arg("lr"), py::arg("warmup"),
        "Rises from 0 to lr over ``warmup`` steps, then stays. Returns a function of the step.");
  m.def("inverse_sqrt", &optim::inverse_sqrt, py::arg("lr"), py::arg("warmup"),
        py::arg("initial") = 0.0,
        "Rises from ``initial`` to lr over ``warmup`` steps, then lr sqrt(warmup / step) (Vaswani "
        "et al. 2017). Returns a function of the step.");
  m.def("cosine", &optim::cosine, py::arg("lr"), py::arg("total"), py::arg("warmup") = 0,
        py::arg("final") = 0.0,
        "After a linear warm-up, half a cosine from lr down to ``final`` at step ``total``, then "
        "``final``. Returns a function of the step.");
}

}  // namespace

void bind_optim(py::module_& m) {
  bind_base(m);
  py::class_<optim::SGD, Optimizer, std::shared_ptr<optim::SGD>>(m, "SGD",
                                                                 "Stochastic gradient descent.")
      .def(py::init([](Tensors params, double lr, double momentum, bool nesterov,
                       double weight_decay) {
             return std::make_shared<optim::SGD>(
                 std::move(params.list), lr, optim::SGDOptions{momentum, nesterov, weight_decay});
           }),
           py::arg("params"), py::arg("lr"), py::arg("momentum") = 0.0, py::arg("nesterov") = false,
           py::arg("weight_decay") = 0.0,
           (std::string("Weight decay is added to the gradient (L2).") + kConstructorErrors)
               .c_str());
  py::class_<optim::Adam, Optimizer, std::shared_ptr<optim::Adam>> adam(
      m, "Adam", "Kingma & Ba 2015, with bias correction.");
  bind_adam(adam, 0.0, "Weight decay is added to the gradient (L2).");
  py::class_<optim::AdamW, optim::Adam, std::shared_ptr<optim::AdamW>> adamw(
      m, "AdamW", "Loshchilov & Hutter 2019: Adam with weight decay apart from the gradient.");
  bind_adam(adamw, 0.01, "Weight decay shrinks the parameters directly, by lr * weight_decay.");

  m.def(
      "clip_grad_norm",
      [](const Tensors& params, double max_norm) {
        return optim::clip_grad_norm(params.list, max_norm);
      },
      py::arg("params"), py::arg("max_norm"), ReleaseGil(),
      R"doc(Scales all gradients so that their joint Euclidean length is at most ``max_norm``.

Returns the length before, a float64 scalar on their device. Nothing is changed if it is not finite:
on the CPU that is a GradError; on the GPU nothing waits for it, and what is returned shows it.
)doc");
  bind_schedules(m);
}

}  // namespace normlab::bindings
