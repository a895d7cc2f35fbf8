#pragma once

// Branch-free float32 functions over vfloat, for *_cpu.cpp only. Errors are at most 3 ulp (see
// elementwise_test.cpp); infinity, NaN, overflow and denormal results follow IEEE 754. The
// polynomials are minimax fits of relative error. A loop's tail goes through load_part() and
// store_part(), never through scalar code: an element's value must not depend on its place.

#include <cstring>
#include <limits>

#include "backend/simd.h"

namespace normlab::NORMLAB_ISA {
namespace {  // NOLINT

inline constexpr float kInf = std::numeric_limits<float>::infinity();
inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// The first n < kLanes elements, the other lanes 0.
[[maybe_unused]] inline vfloat load_part(const float* p, int64_t n) {
  float lane[kLanes] = {};
  std::memcpy(lane, p, static_cast<size_t>(n) * sizeof(float));
  return load(lane);
}
[[maybe_unused]] inline void store_part(float* p, vfloat v, int64_t n) {
  float lane[kLanes];
  store(lane, v);
  std::memcpy(p, lane, static_cast<size_t>(n) * sizeof(float));
}

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
  vfloat p;
  vint n;
};
[[maybe_unused]] inline ExpParts exp_parts(vfloat x) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const vfloat shifted = x * 1.44269504f + kRound;
  const vfloat n = shifted - kRound;
  const vfloat r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  vfloat q = r * 0x1.6a21acp-10f + 0x1.123b6ap-7f;
  q = q * r + 0x1.5558fap-5f;
  q = q * r + 0x1.55549p-3f;
  q = q * r + 0x1.fffffcp-2f;
  return {r + r * r * q, as_int(shifted) - as_int(broadcast(kRound))};
}

/// v * 2^n in two steps, so that a denormal result is rounded once. |n| <= 252.
[[maybe_unused]] inline vfloat scale_by_power(vfloat v, vint n) {
  const vint half = n >> 1;
  return v * as_float((half + 127) << 23) * as_float((n - half + 127) << 23);
}

[[maybe_unused]] inline vfloat vexp(vfloat x) {
  const ExpParts e = exp_parts(vclamp(x, -104.0f, 89.0f));
  return scale_by_power(e.p + 1.0f, e.n);
}

[[maybe_unused]] inline vfloat vlog(vfloat x) {
  constexpr int32_t kSqrtHalf = 0x3f3504f3;
  const vint denormal = x < std::numeric_limits<float>::min();
  const vint bits = as_int(denormal ? x * 8388608.0f : x) - kSqrtHalf;
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

/// (exp(2|x|) - 1) / (exp(2|x|) + 1), without cancellation near 0.
[[maybe_unused]] inline vfloat vtanh(vfloat x) {
  const ExpParts e = exp_parts(vclamp(vabs(x), 0.0f, 10.0f) * 2.0f);
  const vfloat power = as_float((e.n + 127) << 23);
  const vfloat t = power * e.p + (power - 1.0f);
  return with_sign_of(t / (t + 2.0f), x);
}

[[maybe_unused]] inline vfloat vsigmoid(vfloat x) {
  const vfloat e = vexp(-vabs(x));
  return (x < 0.0f ? e : broadcast(1.0f)) / (e + 1.0f);
}

/// x + x P(x^2) near 0, 1 - exp(Q(|x|)) elsewhere.
[[maybe_unused]] inline vfloat verf(vfloat x) {
  const vfloat a = vclamp(vabs(x), 0.0f, 4.0f);
  const vfloat u = a * a;
  vfloat p = u * -0x1.3a8aaap-11f + 0x1.47575ap-8f;
  p = p * u + -0x1.b68ff4p-6f;
  p = p * u + 0x1.ce1abap-4f;
  p = p * u + -0x1.8126e8p-2f;
  p = p * u + 0x1.06eba6p-3f;
  vfloat q = a * 0x1.9ae90ap-13f + -0x1.8ee174p-9f;
  q = q * a + 0x1.6c2a78p-6f;
  q = q * a + -0x1.a9b42ep-4f;
  q = q * a + -0x1.463ccp-1f;
  q = q * a + -0x1.20af5ap+0f;
  q = q * a + -0x1.9a5c2ep-13f;
  const vfloat far = 1.0f - vexp(q);
  return with_sign_of(a > 0.92f ? far : a + a * p, x);
}

}  // namespace
}  // namespace normlab::NORMLAB_ISA
