#pragma once

// Philox4x32-10 (see cpu/philox.h) on kLanes counters at once; for *_cpu.cpp only.

#include <cstring>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "cpu/philox.h"
#include "cpu/simd.h"

namespace normlab::NORMLAB_ISA {
namespace {  // NOLINT

typedef uint64_t vcounter __attribute__((vector_size(4 * kLanes)));

/// Products of the lower halves of each lane.
[[maybe_unused]] inline vcounter multiply_low(vcounter a, vcounter b) {
#if defined(__AVX512F__)
  // Not the unmasked form: GCC 12 warns about what that leaves undefined.
  return (vcounter)_mm512_maskz_mul_epu32(0xff, (__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
  return (vcounter)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
  return (vcounter)_mm_mul_epu32((__m128i)a, (__m128i)b);
#else
  return (a & 0xffffffff) * (b & 0xffffffff);
#endif
}

inline constexpr uint64_t kRising[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/// Words of one stream in the order of its numbers.
struct PhiloxBatch {
  static constexpr int kWords = 4 * kLanes;
  uint32_t words[kWords];

  /// Blocks [first, first + kLanes) of the seed's stream.
  PhiloxBatch(uint64_t seed, uint64_t first) {
    constexpr int kHalf = kLanes / 2;  // counters in one vector
    vcounter c[2][4] = {};
    for (int h = 0; h < 2; ++h) {
      std::memcpy(&c[h][0], kRising + h * kHalf, sizeof(vcounter));
      c[h][0] += first;
    }
    uint32_t key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
    for (auto& v : c) v[1] = v[0] >> 32;
    for (int round = 0; round < 10; ++round) {
      for (auto& v : c) mix(v, key0, key1);
      key0 += kPhiloxKeySteps[0];
      key1 += kPhiloxKeySteps[1];
    }
    uint64_t pairs[2][kLanes];  // words 0 and 1, words 2 and 3 of each block
    for (int h = 0; h < 2; ++h) {
      for (int w = 0; w < 2; ++w) {
        const vcounter pair = (c[h][2 * w] & 0xffffffff) | (c[h][2 * w + 1] << 32);
        std::memcpy(pairs[w] + h * kHalf, &pair, sizeof pair);
      }
    }
    uint64_t ordered[2 * kLanes];
    for (int k = 0; k < kLanes; ++k) {
      ordered[2 * k] = pairs[0][k];
      ordered[2 * k + 1] = pairs[1][k];
    }
    std::memcpy(words, ordered, sizeof words);  // little-endian
  }

 private:
  /// One round on a vector of counters. The upper halves of the lanes hold leftovers.
  static void mix(vcounter (&v)[4], uint64_t key0, uint64_t key1) {
    const vcounter a = multiply_low(v[0], vcounter{} + kPhiloxMultipliers[0]);
    const vcounter b = multiply_low(v[2], vcounter{} + kPhiloxMultipliers[1]);
    v[0] = (b >> 32) ^ v[1] ^ key0;
    v[1] = b;
    v[2] = (a >> 32) ^ v[3] ^ key1;
    v[3] = a;
  }
};

}  // namespace
}  // namespace normlab::NORMLAB_ISA
