#pragma once

#include <cstdint>

#include "cpu/isa.h"

namespace normlab {

/// Rows of logits with what they should be: one class each, or a probability of every class. Class
/// c of a row has the coefficient q[c] = weight[c] (target[c] (1 - smoothing) + smoothing / n), and
/// the loss is -sum_c q[c] log softmax(logits)[c].
template <class T>
struct LossRows {
  const int64_t* classes;  ///< [rows], < 0 for rows that count nothing; null: probabilities
  const T* probabilities;  ///< [rows, n] or null
  const T* weight;         ///< [n] or null: all 1
  double weight_sum;       ///< of all classes
  int64_t rows, n;         ///< n classes
  double smoothing;

  // Inlined everywhere: one copy would be of one instruction set.
  [[gnu::always_inline]] double weight_of(int64_t c) const {
    return weight ? static_cast<double>(weight[c]) : 1;
  }
  [[gnu::always_inline]] bool counts(int64_t row) const { return !classes || classes[row] >= 0; }
  /// The sum of a row's coefficients, where its target is one class.
  [[gnu::always_inline]] double mass_of(int64_t target) const {
    if (!weight) return 1;
    return (1 - smoothing) * weight_of(target) + smoothing * (weight_sum / static_cast<double>(n));
  }
};

/// Numbers of a row kept for backward: its greatest logit, the inverse of the sum of
/// exp(logit - greatest), and the sum of the coefficients.
inline constexpr int64_t kLossStats = 3;

/// Cross entropy of every row. stats is [rows, kLossStats].
struct LossKernels {
  void (*forward)(const float* logits, const LossRows<float>& rows, float* stats, float* loss);
  /// dlogits = scale[row] * (softmax * sum(q) - q).
  void (*backward)(const float* logits, const LossRows<float>& rows, const float* stats,
                   const float* scale, float* dlogits);
  /// Of probabilities: dtargets = -scale[row] * weight * (1 - smoothing) * log softmax.
  void (*target_gradient)(const float* logits, const LossRows<float>& rows, const float* stats,
                          const float* scale, float* dtargets);
};
NORMLAB_KERNEL_TABLE(LossKernels, loss_kernels)

/// Plain loops for float and double: the specification of the fast kernels.
namespace reference {

template <class T>
void cross_entropy(const T* logits, const LossRows<T>& rows, T* stats, T* loss);
template <class T>
void cross_entropy_backward(const T* logits, const LossRows<T>& rows, const T* stats,
                            const T* scale, T* dlogits);
template <class T>
void cross_entropy_target_gradient(const T* logits, const LossRows<T>& rows, const T* stats,
                                   const T* scale, T* dtargets);

}  // namespace reference
}  // namespace normlab
