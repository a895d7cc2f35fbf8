#include "ops/masking.h"

namespace normlab::NORMLAB_ISA {
namespace {

template <class T, bool a_scalar, bool b_scalar>
void select(const uint8_t* mask, const T* a, const T* b, T* z, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const T x = a[a_scalar ? 0 : i], y = b[b_scalar ? 0 : i];
    z[i] = mask[i] ? x : y;
  }
}

template <class T>
void select(const LoopOperand& mask, const LoopOperand& a, const LoopOperand& b, void* out,
            int64_t n) {
  const uint8_t* m = mask.as<uint8_t>();
  const T *pa = a.as<T>(), *pb = b.as<T>();
  T* z = static_cast<T*>(out);
  if (mask.scalar) {
    const LoopOperand& chosen = *m ? a : b;
    const T* p = chosen.as<T>();
    for (int64_t i = 0; i < n; ++i) z[i] = p[chosen.scalar ? 0 : i];
  } else if (a.scalar && b.scalar) {
    select<T, true, true>(m, pa, pb, z, n);
  } else if (a.scalar) {
    select<T, true, false>(m, pa, pb, z, n);
  } else if (b.scalar) {
    select<T, false, true>(m, pa, pb, z, n);
  } else {
    select<T, false, false>(m, pa, pb, z, n);
  }
}

}  // namespace

extern const SelectKernels select_kernels = {select<uint8_t>, select<uint32_t>, select<uint64_t>};

}  // namespace normlab::NORMLAB_ISA
