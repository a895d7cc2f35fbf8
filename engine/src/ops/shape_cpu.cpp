#include "ops/shape.h"

#include <utility>

#include "cpu/simd.h"

namespace normlab::NORMLAB_ISA {
namespace {

/// Lane i of interleaved(): lanes of b count on from those of a.
template <int width, bool odd>
constexpr int interleaved_lane(int i) {
  const bool upper = (i & width) != 0;
  if (odd) return upper ? kLanes + i : i + width;
  return upper ? kLanes + i - width : i;
}

/// Blocks of `width` lanes by turns from a and b: the even blocks of both, or the odd ones.
template <int width, bool odd, int... I>
vfloat interleaved(vfloat a, vfloat b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, b, interleaved_lane<width, odd>(I)...);
}

/// Swaps blocks of width x width across the diagonal, then those of half the width within them.
template <int width>
void swap_blocks(vfloat* rows) {
  constexpr std::make_integer_sequence<int, kLanes> lanes;
  for (int i = 0; i < kLanes; ++i) {
    if (i & width) continue;
    const vfloat a = rows[i], b = rows[i + width];
    rows[i] = interleaved<width, false>(a, b, lanes);
    rows[i + width] = interleaved<width, true>(a, b, lanes);
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
