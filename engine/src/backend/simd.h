#pragma once

// Vectors as wide as the instruction set that this file is compiled for, written with the
// compilers' vector extension: one source for AVX-512, AVX2, SSE and NEON. For *_cpu.cpp only,
// which define NORMLAB_ISA. Everything is in an unnamed namespace on purpose: an inline function
// compiled for AVX-512 must never be the copy that the linker keeps for the baseline.

#include <cstdint>
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
  float lane[kLanes];
  store(lane, v);
  for (int width = kLanes / 2; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) lane[i] += lane[i + width];
  return lane[0];
}

}  // namespace
}  // namespace normlab::NORMLAB_ISA
