#pragma once

// Vectors of bfloat16 in memory, float in registers; for *_cpu.cpp only.

#include "cpu/simd.h"
#include "normlab/bfloat16.h"

namespace normlab::NORMLAB_ISA {
namespace {  // NOLINT

typedef uint32_t vword __attribute__((vector_size(4 * kLanes)));
typedef uint16_t vhalf_word __attribute__((vector_size(2 * kLanes)));

/// v with each lane rounded to the nearest bfloat16, ties to even; NaN stays NaN.
[[maybe_unused]] inline vfloat to_bfloat16(vfloat v) {
  const vword word = reinterpret_cast<vword>(v);
  const vword nearest = word + 0x7fff + ((word >> 16) & 1);
  const vword quiet = word | 0x400000;
  return reinterpret_cast<vfloat>((v == v ? nearest : quiet) & 0xffff0000);
}

[[maybe_unused]] inline vfloat load(const bfloat16* p) {
  vhalf_word half;
  std::memcpy(&half, p, sizeof half);
  return reinterpret_cast<vfloat>(__builtin_convertvector(half, vword) << 16);
}
[[maybe_unused]] inline vfloat load(const bfloat16* p, int64_t count) {
  if (count == kLanes) return load(p);
  bfloat16 lane[kLanes] = {};
  std::memcpy(lane, p, static_cast<size_t>(count) * sizeof(bfloat16));
  return load(lane);
}

/// Rounds.
[[maybe_unused]] inline void store(bfloat16* p, vfloat v) {
  const vhalf_word half =
      __builtin_convertvector(reinterpret_cast<vword>(to_bfloat16(v)) >> 16, vhalf_word);
  std::memcpy(p, &half, sizeof half);
}
[[maybe_unused]] inline void store(bfloat16* p, vfloat v, int64_t count) {
  if (count == kLanes) return store(p, v);
  bfloat16 lane[kLanes];
  store(lane, v);
  std::memcpy(p, lane, static_cast<size_t>(count) * sizeof(bfloat16));
}

}  // namespace
}  // namespace normlab::NORMLAB_ISA
