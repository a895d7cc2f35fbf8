#pragma once

// What the rows of elementwise_table.h are written with, for one element: float64 on the CPU, both
// floating types on the GPU, integers on both.

#include <cmath>
#include <concepts>
#include <type_traits>

#if defined(__CUDACC__)
#define NORMLAB_ANYWHERE __host__ __device__
#else
#define NORMLAB_ANYWHERE
#endif

namespace normlab::NORMLAB_ISA {
namespace {  // NOLINT

/// Integers wrap around, which C++ grants to unsigned types only.
template <class V>
NORMLAB_ANYWHERE auto wrapping(V x) {
  if constexpr (std::is_integral_v<V>)
    return static_cast<std::make_unsigned_t<V>>(x);
  else
    return x;
}
template <std::signed_integral V>
NORMLAB_ANYWHERE V vabs(V x) {
  return x < 0 ? static_cast<V>(-wrapping(x)) : x;
}
template <std::unsigned_integral V>
NORMLAB_ANYWHERE V vabs(V x) {
  return x;
}
template <std::floating_point V>
NORMLAB_ANYWHERE V vabs(V x) {
  return std::abs(x);
}
template <std::floating_point V>
NORMLAB_ANYWHERE V vexp(V x) {
  return std::exp(x);
}
template <std::floating_point V>
NORMLAB_ANYWHERE V vlog(V x) {
  return std::log(x);
}
template <std::floating_point V>
NORMLAB_ANYWHERE V vtanh(V x) {
  return std::tanh(x);
}
template <std::floating_point V>
NORMLAB_ANYWHERE V vsqrt(V x) {
  return std::sqrt(x);
}
template <std::floating_point V>
NORMLAB_ANYWHERE V vfloor(V x) {
  return std::floor(x);
}
template <std::floating_point V>
NORMLAB_ANYWHERE V vround(V x) {
  return std::nearbyint(x);
}
template <std::floating_point V>
NORMLAB_ANYWHERE V vpow(V x, V y) {
  return std::pow(x, y);
}
template <std::floating_point V>
NORMLAB_ANYWHERE V vclamp(V x, float low, float high) {
  return x < low ? static_cast<V>(low) : x > high ? static_cast<V>(high) : x;
}
template <std::floating_point V>
NORMLAB_ANYWHERE V vsigmoid(V x) {
  const V e = std::exp(-std::abs(x));
  return (x < 0 ? e : V(1)) / (V(1) + e);
}
/// The normal distribution function, and exp(-x^2 / 2).
template <class V>
struct NormalOf {
  V cdf, bell;
};
template <std::floating_point V>
NORMLAB_ANYWHERE NormalOf<V> vnormal(V x) {
  return {V(0.5) * std::erfc(x * V(-0.70710678118654752)), std::exp(V(-0.5) * x * x)};
}

}  // namespace
}  // namespace normlab::NORMLAB_ISA
