#include "bind.h"
#include "identity.h"
#include "parameters.h"

namespace normlab::bindings {
namespace {

using namespace py::literals;
using optim::AdamOptions;
using optim::Optimizer;
using optim::SGDOptions;

constexpr const char* kParameters =
    "\n\nArgs:\n"
    "    params: ``net.parameters()``, or any tensors. Or ``net.named_parameters()``: the state "
    "goes by these names, otherwise by those of the greatest module that has listed them. Or "
    "dicts, a group each: ``{\"params\": ..., \"lr\": ...}`` and other options for its parameters "
    "alone.\n"
    "\n\nRaises:\n"
    "    ArgumentError: no parameters, one given twice, or one that requires no gradient; an "
    "option that a group does not take.\n"
    "    DtypeError: a parameter that is neither float32 nor float64.\n";

// --- options by their names -------------------------------------------------------------------

template <class T>
void set_option(const char* op, const std::string& name, py::handle value, T& option) {
  try {
    option = value.cast<T>();
  } catch (const py::cast_error&) {
    fail<DtypeError>(op, name, " cannot be ", std::string(py::repr(value)));
  }
}

py::dict as_dict(const SGDOptions& o) {
  return py::dict("momentum"_a = o.momentum, "nesterov"_a = o.nesterov,
                  "weight_decay"_a = o.weight_decay);
}

py::dict as_dict(const AdamOptions& o) {
  return py::dict("betas"_a = py::make_tuple(o.beta1, o.beta2), "eps"_a = o.eps,
                  "weight_decay"_a = o.weight_decay);
}

bool set_named(const std::string& name, py::handle value, SGDOptions& o) {
  if (name == "momentum") return set_option("SGD", name, value, o.momentum), true;
  if (name == "nesterov") return set_option("SGD", name, value, o.nesterov), true;
  if (name == "weight_decay") return set_option("SGD", name, value, o.weight_decay), true;
  return false;
}

bool set_named(const std::string& name, py::handle value, AdamOptions& o) {
  std::pair<double, double> betas(o.beta1, o.beta2);
  if (name == "betas") set_option("Adam", name, value, betas);
  o.beta1 = betas.first;
  o.beta2 = betas.second;
  if (name == "eps") set_option("Adam", name, value, o.eps);
  if (name == "weight_decay") set_option("Adam", name, value, o.weight_decay);
  return name == "betas" || name == "eps" || name == "weight_decay";
}

/// A group's own rate and options; what it says nothing of is as for all.
template <class Options>
std::optional<double> take_options(const ParameterGroup& group, Options& options) {
  std::optional<double> lr;
  for (const auto& [key, value] : group.options) {
    const std::string name = py::str(key);
    if (name == "lr")
      set_option("optimizer", name, value, lr.emplace());
    else
      check<ArgumentError>(set_named(name, value, options), "optimizer",
                           "a group has the unknown option ", std::string(py::repr(key)),
                           "; known are params, lr, ",
                           std::string(py::str(py::str(", ").attr("join")(as_dict(options)))));
  }
  return lr;
}

template <class Kind, class Options>
std::shared_ptr<Kind> make_optimizer(const Parameters& params, double lr, const Options& usual) {
  check<ArgumentError>(!params.groups.empty(), "optimizer", "there are no parameters to update");
  Options options = usual;
  std::optional<double> own = take_options(params.groups[0], options);
  const bool one = params.groups.size() == 1;
  auto optimizer =
      std::make_shared<Kind>(params.groups[0].tensors, one ? own.value_or(lr) : lr, options);
  for (size_t g = 1; g < params.groups.size(); ++g) {
    options = usual;
    const std::optional<double> rate = take_options(params.groups[g], options);
    optimizer->add_group(params.groups[g].tensors, options, rate);
  }
  if (own && !one) optimizer->set_lr(0, *own);
  return optimizer;
}

// --- groups -----------------------------------------------------------------------------------

/// A group of an optimizer, which it keeps alive.
struct Group {
  std::shared_ptr<Optimizer> optimizer;
  size_t number;
};

py::dict options_of(const Optimizer& optimizer, size_t group) {
  if (const auto* sgd = dynamic_cast<const optim::SGD*>(&optimizer))
    return as_dict(sgd->options(group));
  return as_dict(dynamic_cast<const optim::Adam&>(optimizer).options(group));
}

void bind_group(py::module_& m) {
  py::class_<Group>(m, "ParameterGroup", "Some of an optimizer's parameters, see its ``groups``.")
      .def_property(
          "lr", [](const Group& g) { return g.optimizer->lr(g.number); },
          [](const Group& g, double lr) { g.optimizer->set_lr(g.number, lr); },
          "The group's learning rate. One of its own keeps its ratio to the optimizer's ``lr``.")
      .def(
          "parameters",
          [](const Group& g) { return tensor_objects(g.optimizer->parameters(g.number)); },
          "Its parameters, in order.")
      .def_property_readonly(
          "options",
          [](const Group& g) {
            return py::typing::Dict<py::str, Any>(options_of(*g.optimizer, g.number));
          },
          "A copy of its other options by name: weight_decay, ...")
      .def("__repr__", [](const Group& g) {
        const std::string lr = py::str(py::float_(g.optimizer->lr(g.number)));
        return joined("ParameterGroup(lr=", lr, ", ", g.optimizer->parameters(g.number).size(),
                      " parameters)");
      });
}

py::typing::List<Group> groups_of(const std::shared_ptr<Optimizer>& optimizer) {
  py::list groups;
  for (size_t g = 0; g < optimizer->groups(); ++g) groups.append(Group{optimizer, g});
  return py::typing::List<Group>(groups);
}

/// Arguments that make a copy: the groups as dicts with names, and the common rate.
py::dict arguments_of(const Optimizer& optimizer) {
  py::list groups;
  std::vector<std::vector<std::pair<std::string, Tensor>>> named(optimizer.groups());
  for (size_t g = 0, i = 0; g < named.size(); ++g)
    for (const Tensor& x : optimizer.parameters(g))
      named[g].emplace_back(optimizer.names()[i++], x);
  for (size_t g = 0; g < named.size(); ++g) {
    py::dict group = options_of(optimizer, g);
    group["params"] = tensor_objects(named[g]);
    groups.append(group);
  }
  return py::dict("params"_a = groups, "lr"_a = optimizer.lr());
}

/// (rate, common rate beside which it was set) of each group, or None.
py::list own_rates(const Optimizer& optimizer) {
  py::list rates;
  for (size_t g = 0; g < optimizer.groups(); ++g) {
    const auto& own = optimizer.own_rate(g);
    rates.append(own ? py::object(py::make_tuple(own->lr, own->beside)) : py::none());
  }
  return rates;
}

void set_own_rates(Optimizer& optimizer,
                   const std::vector<std::optional<std::pair<double, double>>>& rates) {
  for (size_t g = 0; g < rates.size(); ++g)
    if (rates[g]) optimizer.set_lr(g, rates[g]->first, rates[g]->second);
}

// --- classes ----------------------------------------------------------------------------------

void bind_base(py::module_& m) {
  py::class_<Optimizer, std::shared_ptr<Optimizer>>(
      m, "Optimizer",
      "Updates float32 and float64 parameters from their gradients, all in one fused pass.")
      .def("step", &Optimizer::step, ReleaseGil(),
           "One update. Parameters without a gradient are left alone. DeviceError unless they are "
           "all on one device.")
      .def("zero_grad", &Optimizer::zero_grad, ReleaseGil(), "Clears all gradients.")
      .def_property("lr", py::overload_cast<>(&Optimizer::lr, py::const_),
                    py::overload_cast<double>(&Optimizer::set_lr),
                    "Learning rate. Groups with one of their own keep its ratio to this. "
                    "ArgumentError unless it is finite and not negative.")
      .def(
          "parameters", [](const Optimizer& o) { return tensor_objects(o.parameters()); },
          "The parameters, in order.")
      .def_property_readonly("groups", &groups_of,
                             "Groups of parameters, one for each dict that was given, or one.")
      .def(
          "state",
          [](const Optimizer& o, bool copy) { return without_gil([&] { return o.state(copy); }); },
          py::kw_only(), py::arg("copy") = false, R"doc(The state of each parameter, by its name.

``"0.weight.exp_avg"``, ``"0.weight.step"``, ... With the parameters' values, all that an unbroken
run would have. Learning rates belong to the schedule and are not part of it. The tensors share
storage with the optimizer; ``state(copy=True)`` stays as it is.
)doc")
      .def("load_state", &Optimizer::load_state, py::arg("state"), ReleaseGil(),
           R"doc(Takes over what ``state()`` returned.

By the parameters' names, so their order does not matter; those without a name go by their number.
States that earlier versions wrote, all by number, are taken in order. ArgumentError / ShapeError if
names or shapes do not fit.
)doc")
      .def(
          "_arguments", [](const Optimizer& o) { return arguments_of(o); },
          "The constructor's arguments for an optimizer like this.")
      .def("_own_rates", &own_rates, "Rates of groups of their own.")
      .def("_set_own_rates", &set_own_rates, py::arg("rates"), "Sets them.");
}

template <class Options, class Class>
void bind_add_group(Class& c) {
  using Kind = typename Class::type;
  c.def(
      "add_group",
      [](Kind& optimizer, const py::dict& group) {
        const ParameterGroup added = group_from(group);
        Options options;
        if constexpr (std::is_same_v<Kind, optim::AdamW>) options.weight_decay = 0.01;
        const std::optional<double> lr = take_options(added, options);
        without_gil([&] { optimizer.add_group(added.tensors, options, lr); });
      },
      py::arg("group"),
      "Adds parameters with options of their own: ``{\"params\": ..., \"lr\": ...}``, as the "
      "constructor takes them; what it says nothing of has its usual value.");
}

template <class Class>
void bind_adam(Class& c, double weight_decay, const std::string& doc) {
  c.def(py::init([](const Parameters& params, double lr, std::pair<double, double> betas,
                    double eps, double decay) {
          return make_optimizer<typename Class::type>(
              params, lr, AdamOptions{betas.first, betas.second, eps, decay});
        }),
        py::arg("params"), py::arg("lr") = 1e-3, py::arg("betas") = py::make_tuple(0.9, 0.999),
        py::arg("eps") = 1e-8, py::arg("weight_decay") = weight_decay, (doc + kParameters).c_str());
  bind_add_group<AdamOptions>(c);
}

void bind_schedules(py::module_& m) {
  m.def("constant", &optim::constant, py::arg("lr"),
        "A constant rate. Returns a function of the step number, which starts at 1.\n\nExample:\n"
        "    >>> nl.optim.constant(0.1)(1)\n    0.1");
  m.def("linear_warmup", &optim::linear_warmup, py::arg("lr"), py::arg("warmup"),
        "Rises from 0 to lr over ``warmup`` steps, then stays. Returns a function of the step."
        "\n\nExample:\n    >>> [nl.optim.linear_warmup(1.0, 4)(step) for step in (1, 4, 16)]\n"
        "    [0.25, 1.0, 1.0]");
  m.def("inverse_sqrt", &optim::inverse_sqrt, py::arg("lr"), py::arg("warmup"),
        py::arg("initial") = 0.0,
        "Rises from ``initial`` to lr over ``warmup`` steps, then lr sqrt(warmup / step) (Vaswani "
        "et al. 2017). Returns a function of the step.\n\nExample:\n"
        "    >>> [nl.optim.inverse_sqrt(1.0, 4)(step) for step in (1, 4, 16)]\n"
        "    [0.25, 1.0, 0.5]");
  m.def("cosine", &optim::cosine, py::arg("lr"), py::arg("total"), py::arg("warmup") = 0,
        py::arg("final") = 0.0,
        "After a linear warm-up, half a cosine from lr down to ``final`` at step ``total``, then "
        "``final``. Returns a function of the step.\n\nExample:\n"
        "    >>> [round(nl.optim.cosine(1.0, 10)(step), 4) for step in (5, 10, 11)]\n"
        "    [0.5, 0.0, 0.0]");
}

}  // namespace

void bind_optim(py::module_& m) {
  bind_group(m);
  bind_base(m);
  py::class_<optim::SGD, Optimizer, std::shared_ptr<optim::SGD>> sgd(
      m, "SGD", "Stochastic gradient descent.");
  sgd.def(
      py::init([](const Parameters& params, double lr, double momentum, bool nesterov,
                  double weight_decay) {
        return make_optimizer<optim::SGD>(params, lr, SGDOptions{momentum, nesterov, weight_decay});
      }),
      py::arg("params"), py::arg("lr"), py::arg("momentum") = 0.0, py::arg("nesterov") = false,
      py::arg("weight_decay") = 0.0,
      (std::string("Weight decay is added to the gradient (L2).") + kParameters).c_str());
  bind_add_group<SGDOptions>(sgd);
  py::class_<optim::Adam, Optimizer, std::shared_ptr<optim::Adam>> adam(
      m, "Adam", "Kingma & Ba 2015, with bias correction by each parameter's own steps.");
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

Example:
    >>> w = nl.tensor([3.0, 4.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> nl.optim.clip_grad_norm([w], max_norm=1.0).item()
    10.0
)doc");
  bind_schedules(m);
}

}  // namespace normlab::bindings
