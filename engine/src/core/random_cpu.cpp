#include "core/random.h"

#include <cmath>
#include <cstring>

#include "cpu/simd_math.h"
#include "cpu/simd_philox.h"

namespace normlab::NORMLAB_ISA {
namespace {

/// Fills z[0, n) by turning one batch of words after the other into numbers.
template <class T, class Convert>
void fill(Stream stream, T* z, int64_t n, const Convert& convert) {
  constexpr int64_t kBatch = PhiloxBatch::kWords * 4 / sizeof(T);
  for (int64_t i = 0; i < n; i += kBatch) {
    const PhiloxBatch batch(stream.seed, stream.from(i, 16 / sizeof(T)).block);
    T numbers[kBatch];
    convert(batch.words, numbers);
    std::memcpy(z + i, numbers, sizeof(T) * static_cast<size_t>(n - i < kBatch ? n - i : kBatch));
  }
}

void words(Stream stream, uint64_t* z, int64_t n) {
  fill(stream, z, n, [](const uint32_t* words, uint64_t* numbers) {
    std::memcpy(numbers, words, sizeof(PhiloxBatch::words));
  });
}

void uniform(Stream stream, float low, float high, float* z, int64_t n) {
  const float below_high = std::nextafter(high, low);  // low + u (high - low) may round to high
  fill(stream, z, n, [=](const uint32_t* words, float* numbers) {
    for (int begin = 0; begin < PhiloxBatch::kWords; begin += kLanes) {
      vint word;
      std::memcpy(&word, words + begin, sizeof word);
      const vfloat u = __builtin_convertvector((word >> 8) & 0xffffff, vfloat) * 0x1p-24f;
      const vfloat number = u * (high - low) + low;
      store(numbers + begin, number < high ? number : broadcast(below_high));
    }
  });
}

/// The sine and cosine of 2 pi w / 2^32: of the angle to the nearest quarter turn, then turned.
struct SineCosine {
  vfloat sine, cosine;

  explicit SineCosine(vbits w) {
    const vbits quarter = (w + (1u << 29)) >> 30;  // modulo 4
    const vfloat x = __builtin_convertvector((vint)(w - (quarter << 30)), vfloat) *
                     (6.28318530717958648f * 0x1p-32f);
    const vfloat u = x * x;
    const vfloat s = x + x * u * ((u * -0x1.994e88p-13f + 0x1.11076p-7f) * u - 0x1.555546p-3f);
    const vfloat c =
        1.0f - u * 0.5f + u * u * ((u * 0x1.9a0232p-16f - 0x1.6c0c8cp-10f) * u + 0x1.55554ap-5f);
    const vint odd = (quarter & 1) != 0;
    sine = (vfloat)((vbits)(odd ? c : s) ^ ((quarter & 2) << 30));
    cosine = (vfloat)((vbits)(odd ? s : c) ^ (((quarter + 1) & 2) << 30));
  }
};

/// Box & Muller 1958: words 2k and 2k + 1 become numbers 2k and 2k + 1.
void normal(Stream stream, float mean, float std, float* z, int64_t n) {
  fill(stream, z, n, [=](const uint32_t* words, float* numbers) {
    for (int begin = 0; begin < PhiloxBatch::kWords; begin += 2 * kLanes) {
      vfloat u;
      vbits angle;
      for (int k = 0; k < kLanes; ++k) {
        u[k] = (static_cast<float>(words[begin + 2 * k]) + 0.5f) * 0x1p-32f;
        angle[k] = words[begin + 2 * k + 1];
      }
      const vfloat square = vlog(u) * -2.0f;
      vfloat radius;
      for (int k = 0; k < kLanes; ++k) radius[k] = std::sqrt(square[k]);
      const SineCosine turn(angle);
      const vfloat first = radius * turn.cosine * std + mean;
      const vfloat second = radius * turn.sine * std + mean;
      for (int k = 0; k < kLanes; ++k) {
        numbers[begin + 2 * k] = first[k];
        numbers[begin + 2 * k + 1] = second[k];
      }
    }
  });
}

}  // namespace

extern const RandomKernels random_kernels = {words, uniform, normal};

}  // namespace normlab::NORMLAB_ISA
