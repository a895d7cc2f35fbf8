#pragma once

// Functions of vfloat for the rows of elementwise_table.h, beside those of simd_math.h. For
// *_cpu.cpp only.

#include <cmath>

#include "cpu/simd_math.h"
#include "ops/elementwise_scalar.h"

namespace normlab::NORMLAB_ISA {
namespace {  // NOLINT

template <class F>
vfloat lanewise(const F& f, vfloat x) {
  for (int i = 0; i < kLanes; ++i) x[i] = f(x[i]);
  return x;
}
inline vfloat vsqrt(vfloat x) {
  return lanewise([](float v) { return std::sqrt(v); }, x);
}
inline vfloat vfloor(vfloat x) {
  return lanewise([](float v) { return std::floor(v); }, x);
}
inline vfloat vround(vfloat x) {
  return lanewise([](float v) { return std::nearbyint(v); }, x);
}
template <class F>
vfloat lanewise(const F& f, vfloat x, vfloat y) {
  for (int i = 0; i < kLanes; ++i) x[i] = f(x[i], y[i]);
  return x;
}
inline vfloat vpow(vfloat x, vfloat y) {
  return lanewise([](float a, float b) { return std::pow(a, b); }, x, y);
}
inline vfloat vfloor_divide(vfloat x, vfloat y) {
  return lanewise([](float a, float b) { return floored(a, b).quotient; }, x, y);
}
inline vfloat vremainder(vfloat x, vfloat y) {
  return lanewise([](float a, float b) { return floored(a, b).rest; }, x, y);
}

/// sin(x + quarters pi / 2) for |x| <= 2^20, computed in float64: x = n pi / 2 + r with pi / 2 in
/// two parts, of which n times the first is exact (fdlibm), and Taylor polynomials of r.
inline vfloat sine_of_small(vfloat x, int64_t quarters) {
  typedef double vwide __attribute__((vector_size(8 * kLanes)));
  typedef int64_t vwhole __attribute__((vector_size(8 * kLanes)));
  constexpr double kRound = 0x1.8p52;  // adding it rounds to an integer, in the lowest bits
  const vwide w = __builtin_convertvector(x, vwide);
  const vwide shifted = w * 0x1.45f306dc9c883p-1 + kRound, n = shifted - kRound;
  const vwide r = (w - n * 0x1.921fb544p0) - n * 0x1.0b4611a626331p-34, s = r * r;
  vwide p = s * (-1.0 / 39916800) + 1.0 / 362880, q = s * (-1.0 / 3628800) + 1.0 / 40320;
  p = p * s - 1.0 / 5040;
  p = p * s + 1.0 / 120;
  p = p * s - 1.0 / 6;
  q = q * s - 1.0 / 720;
  q = q * s + 1.0 / 24;
  q = q * s - 0.5;
  const vwhole quadrant = (vwhole)shifted + quarters;
  const vwide z = (quadrant & 1) != 0 ? q * s + 1.0 : (p * s + 1.0) * r;
  return __builtin_convertvector((quadrant & 2) != 0 ? -z : z, vfloat);
}
/// sin(x + quarters pi / 2); beyond 2^20, and of infinity and NaN, f computes it, lane by lane.
template <class F>
vfloat sine(vfloat x, int64_t quarters, const F& f) {
  const vfloat z = sine_of_small(x, quarters);
  const vint small = vabs(x) <= 0x1p20f;
  return bits(~small) == 0 ? z : small ? z : lanewise(f, x);
}
inline vfloat vsin(vfloat x) {
  return sine(x, 0, [](float v) { return static_cast<float>(std::sin(double{v})); });
}
inline vfloat vcos(vfloat x) {
  return sine(x, 1, [](float v) { return static_cast<float>(std::cos(double{v})); });
}

}  // namespace
}  // namespace normlab::NORMLAB_ISA
