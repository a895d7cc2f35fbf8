#pragma once

#include "cpu/isa.h"
#include "normlab/tensor.h"
#include "ops/axis.h"

namespace normlab {

/// Fast float32 reductions of x [outer, n, inner] over n. Chunks are fixed, sums of chunks are
/// added in order: the number of threads changes nothing.
struct ReduceKernels {
  /// Doubles of scratch that sum() needs.
  int64_t (*scratch)(AxisView view);
  /// z [outer, inner] = scale * sum of x, or of (x - center)^2 where center [outer, inner] is
  /// given.
  void (*sum)(const float* x, const float* center, AxisView view, double scale, double* scratch,
              float* z);
  /// dx = scale * dz * (x - mean); mean and dz are [outer, inner].
  void (*var_backward)(const float* x, const float* mean, const float* dz, AxisView view,
                       double scale, float* dx);
  /// Greatest elements and the first places that hold them, both [outer, inner]; n >= 1.
  void (*max)(const float* x, AxisView view, float* z, int64_t* place);
};
NORMLAB_KERNEL_TABLE(ReduceKernels, reduce_kernels)

/// Sums of the columns of x [..., width] within the op `name`, those of bfloat16 in float32.
Tensor column_sums(const char* name, const Tensor& x, int64_t width);

/// Plain loops for every element type: the specification of the fast kernels.
namespace reference {

/// Sum over n, pairwise; Z is int64_t for integers and T otherwise.
template <class T, class Z>
void sum(const T* x, const T* center, AxisView view, double scale, Z* z);
template <class T>
void var_backward(const T* x, const T* mean, const T* dz, AxisView view, double scale, T* dx);
template <class T>
void max(const T* x, AxisView view, T* z, int64_t* place);

}  // namespace reference
}  // namespace normlab
