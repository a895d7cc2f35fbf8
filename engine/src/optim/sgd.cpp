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

void SGD::step() {
  const SgdStep constants{.l2 = static_cast<float>(options_.weight_decay),
                          .momentum = static_cast<float>(options_.momentum),
                          .lr = static_cast<float>(lr_),
                          .nesterov = options_.nesterov};
  const Kernels& kernels = optim_kernels_for_cpu();
  update_all("SGD", parameters_, [&](size_t i, int64_t begin, int64_t n, float* w, const float* g) {
    float* velocity = momentum_.empty() ? nullptr : momentum_[i].data<float>() + begin;
    kernels.sgd(constants, w, g, velocity, n);
  });
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
