#pragma once

// Vectors as wide as the instruction set that this file is compiled for, written with the
// compilers' vector extension: one source for AVX-512, AVX2, SSE and NEON. For *_cpu.cpp only,
// which define NORMLAB_ISA. Everything is in an unnamed namespace on purpose: an inline function
// compiled for AVX-512 must never be the copy that the linker keeps for the baseline.

#include <cstdint>
#include <cstring>
#if defined(__AVX__)
#include <immintrin.h>
#endif

namespace normlab::NORMLAB_ISA {
namespace {  // NOLINT

#if defined(__AVX512F__)
inline constexpr int kLanes = 16;
#elif defined(__AVX__)
inline constexpr int kLanes = 8;
#else
inline constexpr int kLanes = 4;
#endif

typedef float vfloat __attribute__((vector_size(4 * kLanes)));
typedef int32_t vint __attribute__((vector_size(4 * kLanes)));
typedef float vfloat_unaligned __attribute__((vector_size(4 * kLanes), aligned(4), may_alias));

[[maybe_unused]] inline vfloat load(const float* p) {
  return *reinterpret_cast<const vfloat_unaligned*>(p);
}
[[maybe_unused]] inline void store(float* p, vfloat v) {
  *reinterpret_cast<vfloat_unaligned*>(p) = v;
}
/// All ones in the first `count` lanes.
[[maybe_unused]] inline vint first_lanes(int64_t count) {
  vint lane;
  for (int i = 0; i < kLanes; ++i) lane[i] = i;
  return lane < static_cast<int32_t>(count);
}
/// The first `count` lanes from p, without touching what lies behind them; the others are 0.
[[maybe_unused]] inline vfloat load(const float* p, int64_t count) {
  if (count == kLanes) return load(p);
#if defined(__AVX512F__)
  return (vfloat)_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), p);
#elif defined(__AVX__)
  return (vfloat)_mm256_maskload_ps(p, (__m256i)first_lanes(count));
#else
  float lane[kLanes] = {};
  std::memcpy(lane, p, static_cast<size_t>(count) * sizeof(float));
  return load(lane);
#endif
}
/// The first `count` lanes to p.
[[maybe_unused]] inline void store(float* p, vfloat v, int64_t count) {
  if (count == kLanes) return store(p, v);
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << count) - 1), (__m512)v);
#elif defined(__AVX__)
  _mm256_maskstore_ps(p, (__m256i)first_lanes(count), (__m256)v);
#else
  float lane[kLanes];
  store(lane, v);
  std::memcpy(p, lane, static_cast<size_t>(count) * sizeof(float));
#endif
}
/// Writes past the caches; p must be aligned to a whole vector. Follow a loop of them by fence().
[[maybe_unused]] inline void stream(float* p, vfloat v) {
#if defined(__AVX512F__)
  _mm512_stream_ps(p, reinterpret_cast<__m512>(v));
#elif defined(__AVX__)
  _mm256_stream_ps(p, reinterpret_cast<__m256>(v));
#else
  store(p, v);
#endif
}
[[maybe_unused]] inline void fence() {
#if defined(__AVX__)
  _mm_sfence();
#endif
}
[[maybe_unused]] inline vfloat broadcast(float x) {
  return x - vfloat{};
}

/// Sum of the lanes, as a tree.
[[maybe_unused]] inline float sum(vfloat v) {
#if defined(__AVX512F__)
  v += __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
  v += __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11);
  v += __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
#elif defined(__AVX__)
  v += __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3);
  v += __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5);
#else
  v += __builtin_shufflevector(v, v, 2, 3, 0, 1);
#endif
  return v[0] + v[1];
}
/// Bit i is set where a comparison holds in lane i.
[[maybe_unused]] inline uint32_t bits(vint mask) {
#if defined(__AVX512F__)
  const __m512i m = reinterpret_cast<__m512i>(mask);
  return _mm512_test_epi32_mask(m, m);
#elif defined(__AVX__)
  return static_cast<uint32_t>(_mm256_movemask_ps(reinterpret_cast<__m256>(mask)));
#else
  return (mask[0] & 1) | (mask[1] & 2) | (mask[2] & 4) | (mask[3] & 8);
#endif
}

}  // namespace
}  // namespace normlab::NORMLAB_ISA
