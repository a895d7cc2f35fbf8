#pragma once

// Branch-free float32 functions over vfloat, for *_cpu.cpp only. Errors are at most 3 ulp (see
// elementwise_test.cpp); infinity, NaN, overflow and denormal results follow IEEE 754. The
// polynomials are minimax fits of relative error. A loop's tail goes through load(p, count) and
// store(p, v, count), never through scalar code: an element's value must not depend on its place.

#include <limits>

#include "cpu/simd.h"

namespace normlab::NORMLAB_ISA {
namespace {  // NOLINT

inline constexpr float kInf = std::numeric_limits<float>::infinity();
inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// Bits whose arithmetic wraps around, which signed integers may not.
typedef uint32_t vbits __attribute__((vector_size(4 * kLanes)));

[[maybe_unused]] inline vint as_int(vfloat v) {
  return reinterpret_cast<vint>(v);
}
[[maybe_unused]] inline vfloat as_float(vint v) {
  return reinterpret_cast<vfloat>(v);
}
[[maybe_unused]] inline vfloat vabs(vfloat x) {
  return as_float(as_int(x) & 0x7fffffff);
}
/// The magnitude of x >= 0 with the sign of s.
[[maybe_unused]] inline vfloat with_sign_of(vfloat x, vfloat s) {
  return as_float(as_int(x) | (as_int(s) & INT32_MIN));
}
/// A NaN in x stays.
[[maybe_unused]] inline vfloat vclamp(vfloat x, float low, float high) {
  const vfloat l = broadcast(low), h = broadcast(high);
  x = x < l ? l : x;
  return x > h ? h : x;
}

/// x = n ln 2 + r with |r| <= ln(2) / 2: exp(x) = 2^n (1 + p). For |x| < 2^21.
struct ExpParts {
  vfloat p, n;
};
[[maybe_unused]] inline ExpParts exp_parts(vfloat x) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const vfloat n = (x * 1.44269504f + kRound) - kRound;
  const vfloat r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  vfloat q = r * 0x1.6a21acp-10f + 0x1.123b6ap-7f;
  q = q * r + 0x1.5558fap-5f;
  q = q * r + 0x1.55549p-3f;
  q = q * r + 0x1.fffffcp-2f;
  return {r + r * r * q, n};
}

/// v * 2^n for a whole n with |n| <= 252; a denormal result is rounded once.
[[maybe_unused]] inline vfloat scale_by_power(vfloat v, vfloat n) {
#if defined(__AVX512F__)
  return (vfloat)_mm512_maskz_scalef_ps(0xffff, (__m512)v, (__m512)n);
#else
  const vint whole = __builtin_convertvector(n, vint), half = whole >> 1;
  return v * as_float((half + 127) << 23) * as_float((whole - half + 127) << 23);
#endif
}

[[maybe_unused]] inline vfloat vexp(vfloat x) {
  const ExpParts e = exp_parts(vclamp(x, -104.0f, 89.0f));
  return scale_by_power(e.p + 1.0f, e.n);
}

[[maybe_unused]] inline vfloat vlog(vfloat x) {
  constexpr int32_t kSqrtHalf = 0x3f3504f3;
  const vint denormal = x < std::numeric_limits<float>::min();
  const vint bits = (vint)((vbits)(denormal ? x * 8388608.0f : x) - uint32_t{kSqrtHalf});
  const vint exponent = (bits >> 23) - (denormal & 23);
  const vfloat f = as_float((bits & 0x7fffff) + kSqrtHalf) - 1.0f;  // in [sqrt(1/2), sqrt(2)) - 1
  vfloat q = f * -0x1.38b576p-4f + 0x1.055b68p-3f;
  q = q * f + -0x1.0d8542p-3f;
  q = q * f + 0x1.22da1ep-3f;
  q = q * f + -0x1.547244p-3f;
  q = q * f + 0x1.99a008p-3f;
  q = q * f + -0x1.000226p-2f;
  q = q * f + 0x1.555554p-2f;
  const vfloat e = __builtin_convertvector(exponent, vfloat);
  const vfloat ff = f * f;
  const vfloat small = (q * f * ff + e * -2.12194440e-4f) - ff * 0.5f;
  const vfloat z = (f + small) + e * 0.693359375f;
  const vfloat edge = x == 0.0f ? broadcast(-kInf) : broadcast(kNan);
  return x > 0.0f ? (x == kInf ? x : z) : edge;
}

/// tanh(x) to 1.05 ulp, and its derivative 1 - tanh(x)^2, relatively precise in both tails.
struct Tanh {
  vfloat value, slope;
};
/// An odd polynomial below 1; above, 1 - w with w = 2 / (exp(2|x|) + 1). For exp(2|x|) = 2^n (1 +
/// p) the sum 2^n + 1 is exact as long as it matters.
[[maybe_unused]] inline Tanh vtanh_parts(vfloat x) {
  const vfloat a = vclamp(vabs(x), 0.0f, 43.0f), s = a * a;
  vfloat q = s * -0x1.77dd36p-12f + 0x1.2da4fap-9f;
  q = q * s + -0x1.0460c4p-7f;
  q = q * s + 0x1.600992p-6f;
  q = q * s + -0x1.b96222p-5f;
  q = q * s + 0x1.110be2p-3f;
  q = q * s + -0x1.55553cp-2f;
  const vfloat near = a * (s * q) + a;

  constexpr float kRound = 12582912.0f, kTwoOverLog2 = 2.88539008f;
  const vfloat n = (a * kTwoOverLog2 + kRound) - kRound, f = a * kTwoOverLog2 - n;
  vfloat p = f * 0x1.41fbbcp-13f + 0x1.5f3e52p-10f;
  p = p * f + 0x1.3b2d4cp-7f;
  p = p * f + 0x1.c6aee8p-5f;
  p = p * f + 0x1.ebfbdcp-3f;
  p = p * f + 0x1.62e430p-1f;
  const vfloat power = scale_by_power(broadcast(1.0f), n);
  const vfloat w = 2.0f / (power * (f * p) + (power + 1.0f));
  const vint small = a < 1.0f;
  return {with_sign_of(small ? near : 1.0f - w, x), small ? 1.0f - near * near : w * (2.0f - w)};
}
[[maybe_unused]] inline vfloat vtanh(vfloat x) {
  return vtanh_parts(x).value;
}

[[maybe_unused]] inline vfloat vsigmoid(vfloat x) {
  const vfloat e = vexp(-vabs(x));
  return (x < 0.0f ? e : broadcast(1.0f)) / (e + 1.0f);
}

/// The normal distribution function Phi(x), and exp(-x^2 / 2), which is its slope times
/// sqrt(2 pi). Phi(-|x|) = exp(-x^2 / 2) t P(t) with t = 1 / (1 + 0.3 |x| / sqrt(2)), after the
/// form of Abramowitz & Stegun 7.1.26: relatively precise in the lower tail.
struct Normal {
  vfloat cdf, bell;
};
[[maybe_unused]] inline Normal vnormal(vfloat x) {
  const vfloat t = 1.0f / (vabs(x) * 0.212132034f + 1.0f);
  const vfloat bell = vexp(x * x * -0.5f);
  vfloat p = t * -0x1.09433cp-4f + 0x1.f13750p-3f;
  p = p * t + -0x1.064924p-2f;
  p = p * t + 0x1.186e92p-2f;
  p = p * t + -0x1.83af72p-5f;
  p = p * t + 0x1.b82af0p-4f;
  p = p * t + 0x1.2fcc80p-4f;
  p = p * t + 0x1.5d9ff0p-4f;
  p = p * t + 0x1.5a7f3ep-4f;
  const vfloat tail = bell * t * p;
  return {x < 0.0f ? tail : 1.0f - tail, bell};
}

}  // namespace
}  // namespace normlab::NORMLAB_ISA
