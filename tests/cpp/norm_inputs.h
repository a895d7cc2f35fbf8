#pragma once

#include "normlab/normlab.h"

namespace normlab::test {

/// Everything that normalize() takes beside x and the variant.
struct NormInputs : NormSettings, NormParameters {};

inline Tensor normalize(const Tensor& x, const NormTraits& variant, const NormInputs& inputs) {
  return normlab::normalize(x, {variant, inputs}, inputs);
}
inline std::pair<Tensor, Tensor> normalize_residual(const Tensor& x, const Tensor& residual,
                                                    const NormTraits& variant,
                                                    const NormInputs& inputs) {
  return normlab::normalize_residual(x, residual, {variant, inputs}, inputs);
}

}  // namespace normlab::test
