#include "core/accumulate.h"

#include "cpu/simd.h"

namespace normlab::NORMLAB_ISA {
namespace {

template <class T>
void add(T* __restrict into, const T* __restrict from, int64_t n) {
  for (int64_t i = 0; i < n; ++i) into[i] += from[i];
}

void copy_streaming(void* to, const void* from, int64_t bytes) {
  float* out = static_cast<float*>(to);
  const float* in = static_cast<const float*>(from);
  for (int64_t i = 0, n = bytes / 4; i < n; i += kLanes) stream(out + i, load(in + i));
  fence();
}

}  // namespace

extern const AccumulateKernels accumulate_kernels = {add<float>, add<double>, copy_streaming};

}  // namespace normlab::NORMLAB_ISA
