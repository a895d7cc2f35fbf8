#include "cpu/simd_rows.h"
#include "nn/probe.h"

namespace normlab::NORMLAB_ISA {
namespace {

void moments(const float* x, int64_t H, double* mean, double* squares) {
  *mean =
      sum_over(H, [&](int64_t i, int64_t n) { return load(x + i, n); }) / static_cast<double>(H);
  const vfloat m = broadcast(static_cast<float>(*mean));
  *squares = sum_over(H, [&](int64_t i, int64_t n) {
    const vfloat d = load(x + i, n) - m;
    return d * d;
  });
}

int64_t clipped(const float* x, const float* z, int64_t H, float mean, float C) {
  int64_t count = 0;
  for (int64_t i = 0; i < H; ++i) count += (x[i] > mean) & (z[i] * C <= 0.0f);
  return count;
}

}  // namespace

extern const ProbeKernels probe_kernels = {moments, clipped};

}  // namespace normlab::NORMLAB_ISA
