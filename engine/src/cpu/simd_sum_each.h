#pragma once

// Sums of the lanes of many vectors at once, for *_cpu.cpp only.

#include <cstdint>
#include <utility>

#include "cpu/simd.h"

namespace normlab::NORMLAB_ISA {
namespace {  // NOLINT

/// Where lane i of one halving step comes from: of blocks of `block` lanes, the low or the high
/// half of every block, the first vector's before the second's.
constexpr int half_lane(int i, int block, bool high) {
  const int in_block = i % block;
  const int other = in_block >= block / 2 ? kLanes : 0;
  return other + i / block * block + (high ? block / 2 : 0) + in_block % (block / 2);
}

template <int block, bool high, int... I>
[[gnu::always_inline]] inline vfloat halves(vfloat a, vfloat b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, b, half_lane(I, block, high)...);
}

/// kLanes vectors become one with the sum of each, in bit-reversed order.
template <int block = kLanes>
[[gnu::always_inline]] inline vfloat sum_transposed(const vfloat* v) {
  if constexpr (block == 1) {
    return v[0];
  } else {
    constexpr auto lanes = std::make_integer_sequence<int, kLanes>();
    vfloat joined[block / 2];
#pragma GCC unroll 16
    for (int i = 0; i < block / 2; ++i)
      joined[i] = halves<block, false>(v[2 * i], v[2 * i + 1], lanes) +
                  halves<block, true>(v[2 * i], v[2 * i + 1], lanes);
    return sum_transposed<block / 2>(joined);
  }
}

constexpr int bit_reversed(int i) {
  int r = 0;
  for (int bit = 1; bit < kLanes; bit *= 2) r = 2 * r + ((i & bit) != 0 ? 1 : 0);
  return r;
}

/// out[i] = sum of the lanes of v[i].
template <int N>
[[gnu::always_inline]] inline void sum_each(const vfloat* v, float* out) {
  int i = 0;
#pragma GCC unroll 16
  for (; i + kLanes <= N; i += kLanes) {
    const vfloat sums = sum_transposed(v + i);
    for (int j = 0; j < kLanes; ++j) out[i + j] = sums[bit_reversed(j)];
  }
  for (; i < N; ++i) out[i] = sum(v[i]);
}

}  // namespace
}  // namespace normlab::NORMLAB_ISA
