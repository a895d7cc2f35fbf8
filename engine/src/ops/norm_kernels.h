#pragma once

#include "cpu/isa.h"
#include "ops/norm_problem.h"

namespace normlab {

/// Sums of the parameters' gradients over rows [begin, end); null pointers are not wanted. The
/// caller has cleared them.
template <class T>
struct NormParamGrads {
  T* gain = nullptr;
  T* bias = nullptr;
  double* alpha = nullptr;
};

/// The specification: plain loops, any floating type.
template <class T>
void norm_forward_reference(const NormProblem<T>& p, int64_t begin, int64_t end);
template <class T>
void norm_backward_reference(const NormProblem<T>& p, int64_t begin, int64_t end,
                             const NormParamGrads<T>& grads);

/// The fast ones, for each instruction set.
struct NormForwardKernel {
  void (*run)(const NormProblem<float>& p, int64_t begin, int64_t end);
};
struct NormBackwardKernel {
  void (*run)(const NormProblem<float>& p, int64_t begin, int64_t end,
              const NormParamGrads<float>& grads);
};
NORMLAB_KERNEL_TABLE(NormForwardKernel, norm_forward_kernel)
NORMLAB_KERNEL_TABLE(NormBackwardKernel, norm_backward_kernel)

/// Rows of bfloat16 that go through the float kernels at a time; windows of so many rows begin at a
/// multiple of them.
int64_t norm_window_rows(const NormPlan& p);
/// `begin` is a multiple of norm_window_rows(). `scratch` takes that many rows twice.
void norm_forward_bfloat16(const NormProblem<bfloat16>& p, int64_t begin, int64_t end,
                           float* scratch);
/// Three times.
void norm_backward_bfloat16(const NormProblem<bfloat16>& p, int64_t begin, int64_t end,
                            const NormParamGrads<float>& grads, float* scratch);

}  // namespace normlab
