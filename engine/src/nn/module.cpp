#include <algorithm>
#include <mutex>
#include <unordered_set>

#include "core/dispatch.h"
#include "core/json.h"
#include "core/state.h"
#include "core/tensor_impl.h"
#include "normlab/nn.h"

namespace normlab::nn {
namespace {

template <class Named>
auto find_name(Named& list, const std::string& name) {
  return std::ranges::find_if(list, [&](const auto& entry) { return entry.first == name; });
}

void check_name(const char* op, const std::string& name) {
  check<ArgumentError>(!name.empty() && name.find('.') == std::string::npos, op,
                       "a name must not be empty or contain a dot, got ", json_excerpt(name));
}

/// Replaces the entry of that name in place, or appends one.
template <class Named, class Value>
void put(Named& list, const std::string& name, const Value& value) {
  const auto found = find_name(list, name);
  if (found == list.end())
    list.emplace_back(name, value);
  else
    found->second = value;
}

using NamedModules = std::vector<std::pair<std::string, std::shared_ptr<Module>>>;

void collect(const Module& parent, const std::string& prefix,
             std::unordered_set<const Module*>& seen, NamedModules& all) {
  for (const auto& [name, module] : parent.children()) {
    if (!seen.insert(module.get()).second) continue;
    all.emplace_back(prefix + name, module);
    collect(*module, prefix + name + ".", seen, all);
  }
}

// --- names ------------------------------------------------------------------------------------

/// Threads may list the parameters of a module that they share.
std::mutex& naming() {
  static std::mutex mutex;
  return mutex;
}

/// Calls a parameter so, unless it has this name within a greater module already.
void suggest_name(const Tensor& parameter, const std::string& name) {
  const std::string now = parameter_name(parameter);
  if (!now.ends_with("." + name)) name_parameter(parameter, name);
}

}  // namespace

std::string parameter_name(const Tensor& parameter) {
  const std::scoped_lock lock(naming());
  return parameter.impl() && parameter.impl()->name ? *parameter.impl()->name : "";
}

void name_parameter(const Tensor& parameter, const std::string& name) {
  const std::scoped_lock lock(naming());
  std::shared_ptr<const std::string>& now = parameter.impl()->name;
  if (!now || *now != name) now = std::make_shared<const std::string>(name);
}

template <class Visit>
void Module::walk(const std::string& prefix, const Visit& visit) const {
  visit(prefix, *this);
  for (const auto& [name, module] : modules_) module->walk(prefix + name + ".", visit);
}

std::vector<std::pair<std::string, Tensor>> Module::named_parameters() const {
  NamedTensors all = list(&Module::parameters_);
  for (const auto& [name, tensor] : all) suggest_name(tensor, name);
  return all;
}

Module::NamedTensors Module::list(NamedTensors Module::*of) const {
  NamedTensors all;
  std::unordered_set<const TensorImpl*> seen;
  walk("", [&](const std::string& prefix, const Module& module) {
    for (const auto& [name, tensor] : module.*of)
      if (seen.insert(tensor.impl().get()).second) all.emplace_back(prefix + name, tensor);
  });
  return all;
}

std::vector<Tensor> Module::parameters() const {
  std::vector<Tensor> all;
  for (const auto& [name, tensor] : named_parameters()) all.push_back(tensor);
  return all;
}

std::vector<std::pair<std::string, Tensor>> Module::named_buffers() const {
  return list(&Module::buffers_);
}

std::vector<std::pair<std::string, std::shared_ptr<Module>>> Module::named_modules() const {
  NamedModules all;
  std::unordered_set<const Module*> seen;
  collect(*this, "", seen, all);
  return all;
}

int64_t Module::num_parameters() const {
  int64_t n = 0;
  for (const auto& [name, tensor] : list(&Module::parameters_)) n += tensor.numel();
  return n;
}

void Module::train(bool on) {
  training_ = on;
  for (const auto& [name, module] : named_modules()) module->training_ = on;
}

void Module::zero_grad() {
  for (auto& [name, tensor] : list(&Module::parameters_)) tensor.zero_grad();
}

namespace {

/// New values for tensors that stay the same objects, and for their gradients.
class NewValues {
 public:
  /// convert(x) may throw: nothing has changed until apply().
  template <class Convert>
  void add(const Tensor& x, const Convert& convert) {
    moves_.push_back({x.impl(), convert(x.detach()), x.grad() ? convert(x.grad()) : Tensor()});
  }
  void apply() {
    for (Move& move : moves_) {
      move.tensor->storage = move.value.impl()->storage;
      move.tensor->offset = 0;
      move.tensor->dtype = move.value.dtype();
      move.tensor->grad = move.gradient;
    }
  }

 private:
  struct Move {
    std::shared_ptr<TensorImpl> tensor;
    Tensor value, gradient;
  };
  std::vector<Move> moves_;
};

}  // namespace

void Module::to(Device device) {
  NewValues values;
  for (const auto& [name, tensor] : state())
    if (tensor.device() != device)
      values.add(tensor, [&](const Tensor& x) { return x.to(device); });
  values.apply();
}

void Module::to(DType dtype) {
  check<DtypeError>(carries_gradient(dtype), "to",
                    "parameters are float32, float64 or bfloat16, got ", dtype);
  NewValues values;
  const auto add = [&](const NamedTensors& tensors, DType wanted) {
    for (const auto& [name, tensor] : tensors)
      if (carries_gradient(tensor.dtype()) && tensor.dtype() != wanted)
        values.add(tensor, [&](const Tensor& x) { return x.to(wanted); });
  };
  add(list(&Module::parameters_), dtype);
  add(named_buffers(), computed_in(dtype));  // statistics
  values.apply();
}

TensorMap Module::state(bool copy) const {
  TensorMap all;
  for (const auto& [name, tensor] : list(&Module::parameters_)) all[name] = tensor;
  for (const auto& [name, tensor] : named_buffers()) all[name] = tensor;
  return copy ? copied(all) : all;
}

void Module::load_state(const TensorMap& given, bool allow_nonfinite) {
  copy_state("load_state", state(), given, allow_nonfinite);
}

Tensor Module::register_parameter(const std::string& name, Tensor value) {
  check_name("register_parameter", name);
  check<ArgumentError>(value.defined(), "register_parameter", json_excerpt(name), " is undefined");
  value.set_requires_grad();
  on_register(name, value);
  if (find_name(parameters_, name) == parameters_.end()) unregister(name);
  put(parameters_, name, value);
  suggest_name(value, name);
  return value;
}

Tensor Module::register_buffer(const std::string& name, Tensor value) {
  check_name("register_buffer", name);
  check<ArgumentError>(value.defined(), "register_buffer", json_excerpt(name), " is undefined");
  on_register(name, value);
  if (find_name(buffers_, name) == buffers_.end()) unregister(name);
  put(buffers_, name, value);
  return value;
}

std::shared_ptr<Module> Module::register_module(const std::string& name,
                                                std::shared_ptr<Module> module) {
  check_name("register_module", name);
  check<ArgumentError>(module != nullptr, "register_module", json_excerpt(name), " is no module");
  module->walk("", [&](const std::string&, const Module& part) {
    check<ArgumentError>(&part != this, "register_module", json_excerpt(name),
                         " must not contain the module that it becomes part of");
  });
  on_register(name, module);
  if (find_name(modules_, name) == modules_.end()) unregister(name);
  put(modules_, name, module);
  for (const auto& [part, tensor] : module->list(&Module::parameters_))
    suggest_name(tensor, name + "." + part);
  return module;
}

bool Module::unregister(const std::string& name) {
  const auto drop = [&](auto& list) {
    return std::erase_if(list, [&](const auto& entry) { return entry.first == name; }) > 0;
  };
  return drop(parameters_) || drop(buffers_) || drop(modules_);
}

void Module::on_register(const std::string&, const Tensor&) {}

void Module::on_register(const std::string&, const std::shared_ptr<Module>&) {}

}  // namespace normlab::nn
