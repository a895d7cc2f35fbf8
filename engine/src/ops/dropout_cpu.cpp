#include "ops/dropout.h"

#include "cpu/simd_philox.h"

namespace normlab::NORMLAB_ISA {
namespace {

template <class T>
void drop(Stream stream, uint32_t threshold, T scale, const T* x, T* z, int64_t n) {
  constexpr int64_t kBatch = PhiloxBatch::kWords;
  int64_t i = 0;
  for (; i + kBatch <= n; i += kBatch) {
    const PhiloxBatch batch(stream.seed, stream.from(i, 4).block);
    for (int64_t k = 0; k < kBatch; ++k)
      z[i + k] = batch.words[k] >= threshold ? x[i + k] * scale : T(0);
  }
  if (i == n) return;
  const PhiloxBatch batch(stream.seed, stream.from(i, 4).block);
  for (int64_t k = 0; i + k < n; ++k)
    z[i + k] = batch.words[k] >= threshold ? x[i + k] * scale : T(0);
}

}  // namespace

extern const DropoutKernels dropout_kernels = {drop<float>, drop<double>};

}  // namespace normlab::NORMLAB_ISA
