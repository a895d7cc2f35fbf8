#pragma once

namespace normlab::optim {

/// One step's constants. What depends on the step number is computed once, in double.
struct AdamStep {
  float l2;                   ///< weight decay that is added to the gradient
  float keep;                 ///< factor on the parameter: 1 - lr * decoupled weight decay
  float rate1, beta2, rate2;  ///< 1 - beta1; beta2; 1 - beta2
  float size;                 ///< lr / (1 - beta1^step)
  float root;                 ///< 1 / sqrt(1 - beta2^step)
  float eps;
};
struct SgdStep {
  float l2, momentum, lr;
  bool nesterov;
};

}  // namespace normlab::optim
