#include <cmath>

#include "core/state.h"
#include "normlab/optim.h"
#include "optim/kernels.h"
#include "optim/update.h"

namespace normlab::optim {

SGD::SGD(std::vector<Tensor> parameters, double lr, const SGDOptions& options)
    : Optimizer(std::move(parameters), lr), options_(options) {
  check<ValueError>(options.momentum >= 0 && options.momentum < 1, "SGD",
                    "momentum must be in [0, 1), got ", options.momentum);
  check<ValueError>(options.weight_decay >= 0 && std::isfinite(options.weight_decay), "SGD",
                    "weight_decay must be finite and not negative, got ", options.weight_decay);
  check<ValueError>(!options.nesterov || options.momentum > 0, "SGD",
                    "nesterov needs a momentum above 0");
  if (options.momentum > 0) momentum_ = zeros_like(parameters_);
}

SgdStep SGD::next_step() const {
  return {.l2 = static_cast<float>(options_.weight_decay),
          .momentum = static_cast<float>(options_.momentum),
          .lr = static_cast<float>(lr_),
          .nesterov = options_.nesterov};
}

void SGD::step() {
  const Device device = device_of("SGD", "parameter", parameters_);
  follow(parameters_, momentum_);
  if (device == Device::cuda) return step_on_gpu();
  const SgdStep constants = next_step();
  const Kernels& kernels = optim_kernels_for_cpu();
  update_all("SGD", parameters_, [&](size_t i, int64_t begin, int64_t n, float* w, const float* g) {
    float* velocity = momentum_.empty() ? nullptr : momentum_[i].data<float>() + begin;
    kernels.sgd(constants, w, g, velocity, n);
  });
}

void SGD::step_on_gpu() {
  std::vector<Slot> slots = slots_of("SGD", parameters_);
  const auto done = [slots] { mark_changed(slots); };
  const std::vector<cuda::OptimTensor> tensors = gpu_tensors(slots, momentum_, {});
  const auto in_place = [this, slots, tensors] {
    check_in_place("SGD", tensors, gpu_tensors(slots, momentum_, {}));
  };
  const SgdStep* replayed = at_replay<SgdStep>(
      "SGD", alive_, in_place, [this] { return next_step(); }, done);
  cuda::call("SGD", cuda::backend().optim->sgd, next_step(), replayed, tensors.data(),
             static_cast<int64_t>(tensors.size()));
  if (!replayed) done();
}

TensorMap SGD::state() const {
  TensorMap state;
  for (size_t i = 0; i < momentum_.size(); ++i)
    state[std::to_string(i) + ".momentum"] = momentum_[i];
  return state;
}

void SGD::load_state(const TensorMap& given) {
  copy_state("SGD", state(), given);
}

}  // namespace normlab::optim
