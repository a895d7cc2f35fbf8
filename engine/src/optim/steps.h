#pragma once

#include <cstdint>

namespace normlab::optim {

/// A parameter, or a part of one, with its gradient and what the optimizer keeps of it; null:
/// nothing.
template <class T>
struct Parameter {
  T* w;
  const T* g;
  T *first, *second;  ///< Adam's moments; SGD's momentum is the first
  int64_t n;
};

/// A table of functions for each type of parameters.
template <template <class> class Functions>
struct ByType {
  Functions<float> float32;
  Functions<double> float64;
  template <class T>
  const Functions<T>& of() const {
    if constexpr (sizeof(T) == 8)
      return float64;
    else
      return float32;
  }
};

/// One step's constants for parameters of type T. What depends on the step number is computed once,
/// in double.
template <class T>
struct AdamStep {
  T l2;                   ///< weight decay that is added to the gradient
  T keep;                 ///< factor on the parameter: 1 - lr * decoupled weight decay
  T rate1, beta2, rate2;  ///< 1 - beta1; beta2; 1 - beta2
  T size;                 ///< lr / (1 - beta1^step)
  T root;                 ///< 1 / sqrt(1 - beta2^step)
  T eps;
};
template <class T>
struct SgdStep {
  T l2, momentum, lr;
  bool nesterov;
};

template <class T>
AdamStep<T> rounded(const AdamStep<double>& s) {
  const auto f = [](double value) { return static_cast<T>(value); };
  return {.l2 = f(s.l2),
          .keep = f(s.keep),
          .rate1 = f(s.rate1),
          .beta2 = f(s.beta2),
          .rate2 = f(s.rate2),
          .size = f(s.size),
          .root = f(s.root),
          .eps = f(s.eps)};
}
template <class T>
SgdStep<T> rounded(const SgdStep<double>& s) {
  const auto f = [](double value) { return static_cast<T>(value); };
  return {.l2 = f(s.l2), .momentum = f(s.momentum), .lr = f(s.lr), .nesterov = s.nesterov};
}

}  // namespace normlab::optim
