#include <cmath>

#include "core/state.h"
#include "normlab/optim.h"
#include "optim/kernels.h"
#include "optim/optim_cuda.h"
#include "optim/update.h"

namespace normlab::optim {
namespace {

void check_options(const AdamOptions& options) {
  for (const double beta : {options.beta1, options.beta2})
    check<ArgumentError>(beta >= 0 && beta < 1, "Adam", "betas must be in [0, 1), got ", beta);
  for (const double value : {options.eps, options.weight_decay})
    check<ArgumentError>(value >= 0 && std::isfinite(value), "Adam",
                         "eps and weight_decay must be finite and not negative, got ", value);
}

}  // namespace

Adam::Adam(std::vector<Tensor> parameters, double lr, const AdamOptions& options)
    : Adam(std::move(parameters), lr, options, false) {}

Adam::Adam(std::vector<Tensor> parameters, double lr, const AdamOptions& options, bool decoupled)
    : Optimizer(std::move(parameters), lr), decoupled_(decoupled) {
  add_options(options);
}

void Adam::add_group(const std::vector<Tensor>& parameters, const AdamOptions& options,
                     std::optional<double> lr) {
  check_options(options);
  add_parameters(parameters, lr);
  add_options(options);
}

void Adam::add_options(const AdamOptions& options) {
  check_options(options);
  options_.push_back(options);
  for (size_t i = steps_.size(); i < parameters_.size(); ++i) {
    steps_.push_back(0);
    exp_avg_.push_back(zeros_like(parameters_[i]));
    exp_avg_sq_.push_back(zeros_like(parameters_[i]));
  }
}

AdamStep<double> Adam::next_step(size_t parameter) const {
  const size_t group = group_of(parameter);
  const AdamOptions& o = options_[group];
  const double step = static_cast<double>(steps_[parameter] + 1), rate = lr(group);
  return {
      .l2 = decoupled_ ? 0.0 : o.weight_decay,
      .keep = decoupled_ ? 1 - rate * o.weight_decay : 1.0,
      .rate1 = 1 - o.beta1,
      .beta2 = o.beta2,
      .rate2 = 1 - o.beta2,
      .size = rate / (1 - std::pow(o.beta1, step)),
      .root = 1 / std::sqrt(1 - std::pow(o.beta2, step)),
      .eps = o.eps,
  };
}

void Adam::step() {
  const Device device = device_of("Adam", "parameter", parameters_);
  follow(parameters_, exp_avg_);
  follow(parameters_, exp_avg_sq_);
  std::vector<Slot> slots = slots_of("Adam", parameters_);
  if (device == Device::cuda) return step_on_gpu(slots);
  std::vector<AdamStep<double>> steps;
  for (const Slot& slot : slots) steps.push_back(next_step(slot.index));
  const Kernels& kernels = optim_kernels_for_cpu();
  update_all(slots, [&]<class T>(size_t k, int64_t begin, int64_t n, T* w, const T* g) {
    const size_t i = slots[k].index;
    kernels.update.of<T>().adam(rounded<T>(steps[k]), {w, g, exp_avg_[i].data<T>() + begin,
                                                       exp_avg_sq_[i].data<T>() + begin, n});
  });
  for (const Slot& slot : slots) ++steps_[slot.index];
}

/// One launch for parameters of one type and group that have taken the same number of steps.
void Adam::step_on_gpu(const std::vector<Slot>& slots) {
  const auto key = [&](const Slot& s) { return std::pair(group_of(s.index), steps_[s.index]); };
  for (const std::vector<Slot>& part : parts_of(slots, key))
    dispatch_floating("Adam", part[0].parameter.dtype(), [&]<class T>() { launch<T>(part); });
}

template <class T>
void Adam::launch(const std::vector<Slot>& part) {
  const size_t first = part[0].index;
  const auto done = [this, part] {
    for (const Slot& slot : part) ++steps_[slot.index];
    mark_changed(part);
  };
  const auto tensors = gpu_tensors<T>(part, exp_avg_, exp_avg_sq_);
  const auto in_place = [this, part, tensors, first] {
    check_in_place("Adam", tensors, gpu_tensors<T>(part, exp_avg_, exp_avg_sq_));
    for (const Slot& slot : part)
      check<ArgumentError>(
          steps_[slot.index] == steps_[first], "replay",
          "parameters of Adam that had taken the same number of steps at the capture "
          "have not by now; capture again");
  };
  const auto next = [this, first] { return rounded<T>(next_step(first)); };
  const auto* replayed = at_replay<AdamStep<T>>("Adam", alive_, in_place, next, done);
  cuda::call("Adam", cuda::backend().optim->update.of<T>().adam, next(), replayed, tensors.data(),
             static_cast<int64_t>(tensors.size()));
  if (!replayed) done();
}

TensorMap Adam::state(bool copy) const {
  TensorMap state;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    state[names()[i] + ".step"] = Tensor::of<int64_t>({}, {steps_[i]});
    state[names()[i] + ".exp_avg"] = exp_avg_[i];
    state[names()[i] + ".exp_avg_sq"] = exp_avg_sq_[i];
  }
  return copy ? copied(state) : state;
}

void Adam::load_state(const TensorMap& given) {
  const TensorMap own = state();
  const TensorMap taken = given.contains("step") ? renamed(given) : given;
  for (const std::string& name : names()) {
    const auto step = taken.find(name + ".step");
    if (step == taken.end() || !step->second || step->second.numel() != 1) continue;
    const double count = step->second.item();
    check<ArgumentError>(count >= 0 && count <= 0x1p53, "Adam",
                         "the number of steps must be from 0 to 2**53, got ", count);
  }
  copy_state("Adam", own, taken);
  for (size_t i = 0; i < steps_.size(); ++i)
    steps_[i] = own.at(names()[i] + ".step").data<int64_t>()[0];
}

AdamW::AdamW(std::vector<Tensor> parameters, double lr, const AdamOptions& options)
    : Adam(std::move(parameters), lr, options, true) {}

}  // namespace normlab::optim
