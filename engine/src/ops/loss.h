#pragma once

#include <cstdint>

#include "backend/isa.h"

namespace normlab {

/// Rows of logits with one class each; classes < 0 stand for rows that count nothing.
struct LossRows {
  const int64_t* classes;  ///< [rows]
  int64_t rows, n;         ///< n classes
  double smoothing;
};

/// Cross entropy of every row. What backward needs of a row are its greatest logit and the inverse
/// of the sum of exp(logit - greatest): stats [rows, 2].
struct LossKernels {
  void (*forward)(const float* logits, LossRows rows, float* stats, float* loss);
  /// dlogits = scale[row] * (softmax - smoothed target).
  void (*backward)(const float* logits, LossRows rows, const float* stats, const float* scale,
                   float* dlogits);
};
NORMLAB_KERNEL_TABLE(LossKernels, loss_kernels)

/// The same in plain loops for float and double: the specification of the fast ones.
namespace reference {

template <class T>
void cross_entropy(const T* logits, LossRows rows, T* stats, T* loss);
template <class T>
void cross_entropy_backward(const T* logits, LossRows rows, const T* stats, const T* scale,
                            T* dlogits);

}  // namespace reference
}  // namespace normlab
