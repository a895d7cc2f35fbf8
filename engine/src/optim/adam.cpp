#include <cmath>

#include "core/state.h"
#include "normlab/optim.h"
#include "optim/kernels.h"
#include "optim/update.h"

namespace normlab::optim {

Adam::Adam(std::vector<Tensor> parameters, double lr, const AdamOptions& options)
    : Adam(std::move(parameters), lr, options, false) {}

Adam::Adam(std::vector<Tensor> parameters, double lr, const AdamOptions& options, bool decoupled)
    : Optimizer(std::move(parameters), lr), options_(options), decoupled_(decoupled) {
  for (const double beta : {options.beta1, options.beta2})
    check<ValueError>(beta >= 0 && beta < 1, "Adam", "betas must be in [0, 1), got ", beta);
  for (const double value : {options.eps, options.weight_decay})
    check<ValueError>(value >= 0 && std::isfinite(value), "Adam",
                      "eps and weight_decay must be finite and not negative, got ", value);
  exp_avg_ = zeros_like(parameters_);
  exp_avg_sq_ = zeros_like(parameters_);
}

AdamStep Adam::next_step() const {
  const auto f = [](double value) { return static_cast<float>(value); };
  const double step = static_cast<double>(step_ + 1), decay = options_.weight_decay;
  return {
      .l2 = decoupled_ ? 0.0f : f(decay),
      .keep = decoupled_ ? f(1 - lr_ * decay) : 1.0f,
      .rate1 = f(1 - options_.beta1),
      .beta2 = f(options_.beta2),
      .rate2 = f(1 - options_.beta2),
      .size = f(lr_ / (1 - std::pow(options_.beta1, step))),
      .root = f(1 / std::sqrt(1 - std::pow(options_.beta2, step))),
      .eps = f(options_.eps),
  };
}

void Adam::step() {
  const Device device = device_of("Adam", "parameter", parameters_);
  follow(parameters_, exp_avg_);
  follow(parameters_, exp_avg_sq_);
  if (device == Device::cuda) return step_on_gpu();
  const AdamStep constants = next_step();
  const Kernels& kernels = optim_kernels_for_cpu();
  update_all("Adam", parameters_,
             [&](size_t i, int64_t begin, int64_t n, float* w, const float* g) {
               kernels.adam(constants, w, g, exp_avg_[i].data<float>() + begin,
                            exp_avg_sq_[i].data<float>() + begin, n);
             });
  ++step_;
}

void Adam::step_on_gpu() {
  std::vector<Slot> slots = slots_of("Adam", parameters_);
  const auto done = [this, slots] {
    ++step_;
    mark_changed(slots);
  };
  const std::vector<cuda::OptimTensor> tensors = gpu_tensors(slots, exp_avg_, exp_avg_sq_);
  const auto in_place = [this, slots, tensors] {
    check_in_place("Adam", tensors, gpu_tensors(slots, exp_avg_, exp_avg_sq_));
  };
  const AdamStep* replayed = at_replay<AdamStep>(
      "Adam", alive_, in_place, [this] { return next_step(); }, done);
  cuda::call("Adam", cuda::backend().optim->adam, next_step(), replayed, tensors.data(),
             static_cast<int64_t>(tensors.size()));
  if (!replayed) done();
}

TensorMap Adam::state() const {
  TensorMap state{{"step", Tensor::of<int64_t>({}, {step_})}};
  for (size_t i = 0; i < parameters_.size(); ++i) {
    state[std::to_string(i) + ".exp_avg"] = exp_avg_[i];
    state[std::to_string(i) + ".exp_avg_sq"] = exp_avg_sq_[i];
  }
  return state;
}

void Adam::load_state(const TensorMap& given) {
  const TensorMap own = state();
  if (const auto step = given.find("step"); step != given.end() && step->second.numel() == 1)
    check<ValueError>(step->second.item() >= 0, "Adam", "the number of steps must not be negative");
  copy_state("Adam", own, given);
  step_ = own.at("step").data<int64_t>()[0];
}

AdamW::AdamW(std::vector<Tensor> parameters, double lr, const AdamOptions& options)
    : Adam(std::move(parameters), lr, options, true) {}

}  // namespace normlab::optim
