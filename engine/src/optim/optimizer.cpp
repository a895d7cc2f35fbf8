#include <cmath>
#include <unordered_set>

#include "normlab/optim.h"

namespace normlab::optim {

Optimizer::Optimizer(std::vector<Tensor> parameters, double lr)
    : parameters_(std::move(parameters)) {
  set_lr(lr);
  check<ValueError>(!parameters_.empty(), "optimizer", "there are no parameters to update");
  std::unordered_set<const TensorImpl*> seen;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const Tensor& parameter = parameters_[i];
    check<ValueError>(parameter.requires_grad() && parameter.is_leaf(), "optimizer", "parameter ",
                      i, " is not a leaf that requires a gradient");
    check<DtypeError>(parameter.dtype() == DType::float32, "optimizer", "parameter ", i,
                      " must be float32, got ", parameter.dtype());
    check<ValueError>(seen.insert(parameter.impl().get()).second, "optimizer", "parameter ", i,
                      " is given twice");
  }
}

void Optimizer::zero_grad() {
  for (Tensor& parameter : parameters_) parameter.zero_grad();
}

void Optimizer::set_lr(double lr) {
  check<ValueError>(lr >= 0 && std::isfinite(lr), "optimizer",
                    "lr must be finite and not negative, got ", lr);
  lr_ = lr;
}

}  // namespace normlab::optim
