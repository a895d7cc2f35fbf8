#include <charconv>
#include <cmath>
#include <unordered_set>

#include "normlab/nn.h"
#include "normlab/optim.h"

namespace normlab::optim {
namespace {

void check_rate(double lr) {
  check<ArgumentError>(lr >= 0 && std::isfinite(lr), "optimizer",
                       "lr must be finite and not negative, got ", lr);
}

/// The name, with the first number behind it that makes it another than those taken.
std::string unlike(const std::unordered_set<std::string>& taken, const std::string& name) {
  std::string unique = name;
  for (int k = 2; taken.contains(unique); ++k) unique = name + "#" + std::to_string(k);
  return unique;
}

/// The number that a name of the state begins with, before a dot; nullopt if it does not.
std::optional<size_t> leading_number(const std::string& name) {
  size_t number = 0;
  const char* end = name.data() + name.size();
  const auto [rest, error] = std::from_chars(name.data(), end, number);
  return error == std::errc() && rest != end && *rest == '.' ? std::optional(number) : std::nullopt;
}

}  // namespace

Optimizer::Optimizer(std::vector<Tensor> parameters, double lr) : lr_(lr) {
  check_rate(lr);
  add_parameters(parameters, std::nullopt);
}

void Optimizer::add_parameters(const std::vector<Tensor>& parameters, std::optional<double> lr) {
  check<ArgumentError>(!parameters.empty(), "optimizer", "there are no parameters to update");
  if (lr) check_rate(*lr);
  std::unordered_set<const TensorImpl*> seen;
  for (const Tensor& parameter : parameters_) seen.insert(parameter.impl().get());
  for (size_t k = 0; k < parameters.size(); ++k) {
    const Tensor& parameter = parameters[k];
    const size_t i = parameters_.size() + k;
    check<ArgumentError>(parameter.requires_grad() && parameter.is_leaf(), "optimizer",
                         "parameter ", i, " is not a leaf that requires a gradient");
    check<DtypeError>(is_floating(parameter.dtype()), "optimizer", "parameter ", i,
                      " must be float32 or float64, got ", parameter.dtype());
    check<ArgumentError>(seen.insert(parameter.impl().get()).second, "optimizer", "parameter ", i,
                         " is given twice");
  }
  std::unordered_set<std::string> taken(names_.begin(), names_.end());
  for (const Tensor& parameter : parameters) {
    const std::string name = nn::parameter_name(parameter);
    names_.push_back(unlike(taken, name.empty() ? std::to_string(names_.size()) : name));
    taken.insert(names_.back());
    parameters_.push_back(parameter);
    group_of_.push_back(groups_.size());
  }
  groups_.push_back(lr ? std::optional<OwnRate>({*lr, lr_}) : std::nullopt);
}

void Optimizer::zero_grad() {
  for (Tensor& parameter : parameters_) parameter.zero_grad();
}

void Optimizer::set_lr(double lr) {
  check_rate(lr);
  for (size_t g = 0; g < groups_.size(); ++g)
    check<ArgumentError>(
        !groups_[g] || groups_[g]->beside > 0, "optimizer", "group ", g,
        " has a rate of its own, whose ratio to this one cannot be kept, since this "
        "one was 0; set the group's again");
  lr_ = lr;
}

const std::optional<Optimizer::OwnRate>& Optimizer::own_rate(size_t group) const {
  check<RangeError>(group < groups_.size(), "optimizer", "group must be below ", groups_.size(),
                    ", got ", group);
  return groups_[group];
}

double Optimizer::lr(size_t group) const {
  const std::optional<OwnRate>& own = own_rate(group);
  if (!own) return lr_;
  return own->beside == lr_ ? own->lr : own->lr * (lr_ / own->beside);
}

void Optimizer::set_lr(size_t group, double lr, std::optional<double> beside) {
  own_rate(group);
  if (groups_.size() == 1 && !beside) return set_lr(lr);
  check_rate(lr);
  check_rate(beside.value_or(lr_));
  groups_[group] = {lr, beside.value_or(lr_)};
}

std::vector<Tensor> Optimizer::parameters(size_t group) const {
  own_rate(group);
  std::vector<Tensor> own;
  for (size_t i = 0; i < parameters_.size(); ++i)
    if (group_of_[i] == group) own.push_back(parameters_[i]);
  return own;
}

TensorMap Optimizer::renamed(const TensorMap& given) const {
  TensorMap renamed;
  for (const auto& [name, tensor] : given) {
    const std::optional<size_t> number = leading_number(name);
    if (name == "step") {  // one for all parameters
      for (const std::string& own : names_) renamed[own + ".step"] = tensor;
    } else if (number && *number < names_.size()) {
      renamed[names_[*number] + name.substr(name.find('.'))] = tensor;
    } else {
      renamed[name] = tensor;
    }
  }
  return renamed;
}

}  // namespace normlab::optim
