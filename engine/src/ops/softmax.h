#pragma once

#include <cstdint>

#include "cpu/isa.h"

namespace normlab {

/// Softmax of rows of n elements. `log` stands for log_softmax.
struct SoftmaxKernels {
  void (*forward)(const float* x, int64_t rows, int64_t n, bool log, float* z);
  /// dx from the result z.
  void (*backward)(const float* z, const float* dz, int64_t rows, int64_t n, bool log, float* dx);
};
NORMLAB_KERNEL_TABLE(SoftmaxKernels, softmax_kernels)

/// Plain loops for float and double: the specification of the fast kernels.
namespace reference {

template <class T>
void softmax(const T* x, int64_t rows, int64_t n, bool log, T* z);
template <class T>
void softmax_backward(const T* z, const T* dz, int64_t rows, int64_t n, bool log, T* dx);

}  // namespace reference
}  // namespace normlab
