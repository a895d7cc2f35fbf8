#include "ops/shape.h"

#include "backend/simd.h"

namespace normlab::NORMLAB_ISA {
namespace {

/// Blocks of `width` lanes by turns from a and b: the even blocks of both, or the odd ones.
template <int width, bool odd>
vfloat interleaved(vfloat a, vfloat b) {
  vint lanes;
  for (int i = 0; i < kLanes; ++i) {
    const bool upper = (i & width) != 0;
    if (odd)
      lanes[i] = upper ? kLanes + i : i + width;
    else
      lanes[i] = upper ? kLanes + i - width : i;
  }
  return __builtin_shuffle(a, b, lanes);
}

/// Swaps blocks of width x width across the diagonal, then those of half the width within them.
template <int width>
void swap_blocks(vfloat* rows) {
  for (int i = 0; i < kLanes; ++i) {
    if (i & width) continue;
    const vfloat a = rows[i], b = rows[i + width];
    rows[i] = interleaved<width, false>(a, b);
    rows[i + width] = interleaved<width, true>(a, b);
  }
  if constexpr (width > 1) swap_blocks<width / 2>(rows);
}

void transpose(const void* from, int64_t from_step, void* to, int64_t to_step) {
  vfloat rows[kLanes];
  for (int i = 0; i < kLanes; ++i) rows[i] = load(static_cast<const float*>(from) + i * from_step);
  swap_blocks<kLanes / 2>(rows);
  for (int i = 0; i < kLanes; ++i) store(static_cast<float*>(to) + i * to_step, rows[i]);
}

}  // namespace

extern const ShapeKernels shape_kernels = {kLanes, transpose};

}  // namespace normlab::NORMLAB_ISA
