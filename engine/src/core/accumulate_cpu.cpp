#include "core/accumulate.h"

namespace normlab::NORMLAB_ISA {
namespace {

template <class T>
void add(T* __restrict into, const T* __restrict from, int64_t n) {
  for (int64_t i = 0; i < n; ++i) into[i] += from[i];
}

}  // namespace

extern const AccumulateKernels accumulate_kernels = {add<float>, add<double>};

}  // namespace normlab::NORMLAB_ISA
