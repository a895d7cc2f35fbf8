#pragma once

#include "ops/norm_problem.h"

// All rows of a problem that has its arrays, on the CPU or the GPU.

namespace normlab {

template <class T>
void norm_forward_on_cpu(NormProblem<T> p);
template <class T>
void norm_backward_on_cpu(NormProblem<T> p);

/// DeviceError for a variant without a kernel.
template <class T>
void norm_forward_on_gpu(NormProblem<T> p);
template <class T>
void norm_backward_on_gpu(NormProblem<T> p);

}  // namespace normlab
