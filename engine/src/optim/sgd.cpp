#include <algorithm>
#include <cmath>

#include "core/state.h"
#include "normlab/optim.h"
#include "optim/kernels.h"
#include "optim/optim_cuda.h"
#include "optim/update.h"

namespace normlab::optim {
namespace {

void check_options(const SGDOptions& options) {
  check<ArgumentError>(options.momentum >= 0 && options.momentum < 1, "SGD",
                       "momentum must be in [0, 1), got ", options.momentum);
  check<ArgumentError>(options.weight_decay >= 0 && std::isfinite(options.weight_decay), "SGD",
                       "weight_decay must be finite and not negative, got ", options.weight_decay);
  check<ArgumentError>(!options.nesterov || options.momentum > 0, "SGD",
                       "nesterov needs a momentum above 0");
}

}  // namespace

SGD::SGD(std::vector<Tensor> parameters, double lr, const SGDOptions& options)
    : Optimizer(std::move(parameters), lr) {
  add_options(options);
}

void SGD::add_group(const std::vector<Tensor>& parameters, const SGDOptions& options,
                    std::optional<double> lr) {
  check_options(options);
  add_parameters(parameters, lr);
  add_options(options);
}

void SGD::add_options(const SGDOptions& options) {
  check_options(options);
  options_.push_back(options);
  for (size_t i = momentum_.size(); i < parameters_.size(); ++i)
    momentum_.push_back(options.momentum > 0 ? zeros_like(parameters_[i]) : Tensor());
}

SgdStep<double> SGD::next_step(size_t parameter) const {
  const size_t group = group_of(parameter);
  const SGDOptions& o = options_[group];
  return {.l2 = o.weight_decay, .momentum = o.momentum, .lr = lr(group), .nesterov = o.nesterov};
}

void SGD::step() {
  const Device device = device_of("SGD", "parameter", parameters_);
  follow(parameters_, momentum_);
  std::vector<Slot> slots = slots_of("SGD", parameters_);
  if (device == Device::cuda) return step_on_gpu(slots);
  const Kernels& kernels = optim_kernels_for_cpu();
  update_all(slots, [&]<class T>(size_t k, int64_t begin, int64_t n, T* w, const T* g) {
    const size_t i = slots[k].index;
    T* velocity = momentum_[i] ? momentum_[i].data<T>() + begin : nullptr;
    kernels.update.of<T>().sgd(rounded<T>(next_step(i)), {w, g, velocity, nullptr, n});
  });
}

/// One launch for parameters of one type and group.
void SGD::step_on_gpu(const std::vector<Slot>& slots) {
  const auto key = [&](const Slot& slot) { return group_of(slot.index); };
  for (const std::vector<Slot>& part : parts_of(slots, key))
    dispatch_floating("SGD", part[0].parameter.dtype(), [&]<class T>() { launch<T>(part); });
}

template <class T>
void SGD::launch(const std::vector<Slot>& part) {
  const size_t first = part[0].index;
  const auto done = [part] { mark_changed(part); };
  const auto tensors = gpu_tensors<T>(part, momentum_, {});
  const auto in_place = [this, part, tensors] {
    check_in_place("SGD", tensors, gpu_tensors<T>(part, momentum_, {}));
  };
  const auto next = [this, first] { return rounded<T>(next_step(first)); };
  const auto* replayed = at_replay<SgdStep<T>>("SGD", alive_, in_place, next, done);
  cuda::call("SGD", cuda::backend().optim->update.of<T>().sgd, next(), replayed, tensors.data(),
             static_cast<int64_t>(tensors.size()));
  if (!replayed) done();
}

TensorMap SGD::state(bool copy) const {
  TensorMap state;
  for (size_t i = 0; i < momentum_.size(); ++i)
    if (momentum_[i]) state[names()[i] + ".momentum"] = momentum_[i];
  return copy ? copied(state) : state;
}

void SGD::load_state(const TensorMap& given) {
  const TensorMap own = state(), by_number = renamed(given);
  const auto fits = [&](const TensorMap& state) {
    return std::ranges::equal(own, state, {}, &TensorMap::value_type::first,
                              &TensorMap::value_type::first);
  };
  copy_state("SGD", own, !fits(given) && fits(by_number) ? by_number : given);
}

}  // namespace normlab::optim
