#pragma once

// Functions of one element for the rows of elementwise_table.h: float64 on the CPU, both floating
// types on the GPU, integers on both.

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
NORMLAB_ANYWHERE V vsin(V x) {
  return std::sin(x);
}
template <std::floating_point V>
NORMLAB_ANYWHERE V vcos(V x) {
  return std::cos(x);
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
/// A negative power is 1 / x^-y, rounded towards zero; of 0 it is 0.
template <std::integral V>
NORMLAB_ANYWHERE V vpow(V x, V y) {
  if constexpr (std::is_signed_v<V>)
    if (y < 0) return x == 1 || (x == -1 && y % 2 == 0) ? V(1) : x == -1 ? V(-1) : V(0);
  auto power = wrapping(V(1)), square = wrapping(x);
  for (auto rest = wrapping(y); rest != 0; rest /= 2) {
    if (rest % 2 != 0) power = static_cast<decltype(power)>(power * square);
    square = static_cast<decltype(square)>(square * square);
  }
  return static_cast<V>(power);
}

/// a = quotient * b + rest with the sign of b or 0, as in Python (its float_divmod, of whose
/// steps each is exact or leaves the quotient next to a whole number).
template <class V>
struct Division {
  V quotient, rest;
};
template <std::floating_point V>
NORMLAB_ANYWHERE Division<V> floored(V a, V b) {
  V rest = std::fmod(a, b);
  if (b == 0) return {a / b, rest};
  V quotient = (a - rest) / b;
  if (rest == 0) {
    rest = std::copysign(V(0), b);
  } else if ((b < 0) != (rest < 0)) {
    rest += b;
    quotient -= 1;
  }
  if (quotient == 0) return {std::copysign(V(0), a / b), rest};
  const V whole = std::floor(quotient);
  return {quotient - whole > V(0.5) ? whole + 1 : whole, rest};
}
/// Of 0 it is 0 and 0.
template <std::integral V>
NORMLAB_ANYWHERE Division<V> floored(V a, V b) {
  if (b == 0) return {0, 0};
  if constexpr (std::is_signed_v<V>) {
    if (b == -1) return {static_cast<V>(-wrapping(a)), 0};
    const bool down = a % b != 0 && (a < 0) != (b < 0);
    return {static_cast<V>(a / b - down), static_cast<V>(a % b + (down ? b : V(0)))};
  } else {
    return {static_cast<V>(a / b), static_cast<V>(a % b)};
  }
}
template <class V>
requires std::is_arithmetic_v<V> NORMLAB_ANYWHERE V vfloor_divide(V a, V b) {
  return floored(a, b).quotient;
}
template <class V>
requires std::is_arithmetic_v<V> NORMLAB_ANYWHERE V vremainder(V a, V b) {
  return floored(a, b).rest;
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
#if defined(__CUDA_ARCH__)
  const V cdf = normcdf(x);
#else
  const V cdf = V(0.5) * std::erfc(x * V(-0.70710678118654752));
#endif
  return {cdf, std::exp(V(-0.5) * x * x)};
}

}  // namespace
}  // namespace normlab::NORMLAB_ISA
