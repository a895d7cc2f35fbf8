#pragma once

#include "cuda/failure.h"
#include "ops/norm_problem.h"

namespace normlab::cuda {

/// The functions for one element type.
template <class T>
struct NormCalls {
  int64_t (*forward_scratch)(const NormProblem<T>& p);
  Failure (*forward)(const NormProblem<T>& p);
  int64_t (*backward_scratch)(const NormProblem<T>& p);
  Failure (*backward)(const NormProblem<T>& p);
};

struct NormFunctions {
  NormCalls<float> of_float;
  NormCalls<double> of_double;
  NormCalls<bfloat16> of_bfloat16;

  template <class T>
  const NormCalls<T>& of() const {
    if constexpr (std::is_same_v<T, double>)
      return of_double;
    else if constexpr (std::is_same_v<T, bfloat16>)
      return of_bfloat16;
    else
      return of_float;
  }
};

}  // namespace normlab::cuda
