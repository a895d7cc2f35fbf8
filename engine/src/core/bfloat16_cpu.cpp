#include "core/bfloat16.h"

#include "cpu/simd_bfloat16.h"
#include "cpu/simd_rows.h"

namespace normlab::NORMLAB_ISA {
namespace {

void round(const float* from, float* to, int64_t n) {
  each_vector(0, n, [&](int64_t i, int64_t count) {
    store(to + i, to_bfloat16(load(from + i, count)), count);
  });
}

template <class From, class To>
void convert(const From* from, To* to, int64_t n) {
  each_vector(0, n, [&](int64_t i, int64_t count) { store(to + i, load(from + i, count), count); });
}

void add(bfloat16* into, const bfloat16* from, int64_t n) {
  each_vector(0, n, [&](int64_t i, int64_t count) {
    store(into + i, load(into + i, count) + load(from + i, count), count);
  });
}

}  // namespace

extern const Bfloat16Kernels bfloat16_kernels = {round, convert<float, bfloat16>, add,
                                                 convert<bfloat16, float>};

}  // namespace normlab::NORMLAB_ISA
