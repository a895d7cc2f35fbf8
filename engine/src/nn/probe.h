#pragma once

#include <functional>

#include "cpu/isa.h"
#include "normlab/nn.h"

namespace normlab {

/// Runs `forward` on x; if a probe is active on this thread, it sees x, z and their gradients.
Tensor observed(const nn::Norm& layer, const Tensor& x,
                const std::function<Tensor(const Tensor&)>& forward);

struct ProbeKernels {
  /// Mean of a row, and the sum of squared deviations from it.
  void (*moments)(const float* x, int64_t H, double* mean, double* squares);
  /// adanorm: elements of a row with x above the mean whose z has lost C's sign, that is phi <= 0.
  int64_t (*clipped)(const float* x, const float* z, int64_t H, float mean, float C);
};
NORMLAB_KERNEL_TABLE(ProbeKernels, probe_kernels)

}  // namespace normlab
