#pragma once

// All elementwise mathematics, one row an op, instantiated for float32 (on the CPU vectors of it),
// float64 and, where it is numeric, the integers. *_cpu.cpp includes elementwise_simd.h before it,
// elementwise_cuda.cu takes it as it is.

#include <tuple>

#include "ops/elementwise.h"
#include "ops/elementwise_scalar.h"

namespace normlab::NORMLAB_ISA {
namespace {  // NOLINT

template <class V>
constexpr V constant(double c) {
  if constexpr (std::is_arithmetic_v<V>)
    return static_cast<V>(c);
  else
    return V{} + static_cast<float>(c);
}
template <class V>
constexpr auto is_nan(V x) {
  if constexpr (std::is_integral_v<V>)
    return false;
  else
    return x != x;
}

/// True where maximum / minimum take a; NaN wins.
template <class V>
constexpr auto at_least(V a, V b) {
  return (a >= b) | is_nan(a);
}
template <class V>
constexpr auto at_most(V a, V b) {
  return (a <= b) | is_nan(a);
}

/// maximum and minimum; 0 is greater than -0.
template <class V>
NORMLAB_ANYWHERE V greater_of(V a, V b) {
  if constexpr (std::is_integral_v<V>)
    return a >= b ? a : b;
  else
    return ((a == 0.0f) & (b == 0.0f)) ? a + b : at_least(a, b) ? a : b;
}
template <class V>
NORMLAB_ANYWHERE V lesser_of(V a, V b) {
  if constexpr (std::is_integral_v<V>)
    return a <= b ? a : b;
  else
    return ((a == 0.0f) & (b == 0.0f)) ? -(-a - b) : at_most(a, b) ? a : b;
}

/// The derivative of the sigmoid, e / (1 + e)^2 with e = exp(-|x|): relatively precise in both
/// tails, where z (1 - z) has lost all bits.
template <class V>
NORMLAB_ANYWHERE V sigmoid_slope(V x) {
  const V e = vexp(-vabs(x)), d = e + 1.0f;
  return e / (d * d);
}

/// The derivatives of a^b. Beside a = 0 the power is constant in b, as 0.
template <class V>
NORMLAB_ANYWHERE V pow_slope_of_base(V a, V b) {
  return b == 0.0f ? V{} : b * vpow(a, b - 1.0f);
}
template <class V>
NORMLAB_ANYWHERE V pow_slope_of_exponent(V a, V b) {
  return ((a == 0.0f) & (b >= 0.0f)) ? V{} : vpow(a, b) * vlog(a);
}

/// x Phi(x). Beyond +-40 it is 0 or x: the clamps keep infinity times 0 out.
template <class V>
NORMLAB_ANYWHERE V gelu(V x) {
  return (x < -40.0f ? constant<V>(-40.0) : x) * vnormal(x).cdf;
}
template <class V>
NORMLAB_ANYWHERE V gelu_slope(V x) {
  const auto [cdf, bell] = vnormal(x);
  return cdf + vclamp(x, -40.0f, 40.0f) * bell * constant<V>(0.39894228040143268);
}

/// log(1 + x): log(u) of the rounded sum u, times x / (u - 1), which makes up for the rounding
/// (Goldberg 1991, theorem 4).
template <class V>
NORMLAB_ANYWHERE V vlog1p(V x) {
  const V u = x + 1.0f;
  const V z = vlog(u) * (x / (u - 1.0f));
  return ((u == 1.0f) | (x == constant<V>(INFINITY))) ? x : z;
}
template <class V>
NORMLAB_ANYWHERE V softplus(V x) {
  return (x < 0.0f ? V{} : x) + vlog1p(vexp(-vabs(x)));
}

/// factor * exp(x) for x < -64, rounded once where it is denormal and 0 at -infinity.
template <class V>
NORMLAB_ANYWHERE V scaled_tail(V factor, V x) {
  return factor * vexp(x + 32.0f) * constant<V>(1.2664165549094176e-14);
}
/// x sigmoid(x), and its derivative. The clamps keep infinity times 0 out.
template <class V>
NORMLAB_ANYWHERE V silu(V x) {
  const V a = x < -1000.0f ? constant<V>(-1000.0) : x;
  return x < -64.0f ? scaled_tail(a, a) : x * vsigmoid(x);
}
template <class V>
NORMLAB_ANYWHERE V silu_slope(V x) {
  const V a = vclamp(x, -1000.0f, 1000.0f);
  return a < -64.0f ? scaled_tail(a + 1.0f, a) : vsigmoid(a) * (a * vsigmoid(-a) + 1.0f);
}

// --- the tables ---------------------------------------------------------------------------------
/// z(x); its gradient dx(dz, x, z), which reads of x and z what `reads` says.
template <class Z, class DX>
struct UnaryRow {
  Unary op;
  const char *name, *summary;
  Domain domain;
  int cost;
  Z z;
  Reads reads;
  DX dx;
  bool activation = false;  ///< linear() and conv2d() fuse it
};
// Deduced from braces without a guide by GCC, and by Clang from 17 on.
template <class Z, class DX>
UnaryRow(Unary, const char*, const char*, Domain, int, Z, Reads, DX, bool = false)
    -> UnaryRow<Z, DX>;
/// z(a, b); its gradients da(dz, a, b) and db(dz, a, b).
template <class Z, class DA, class DB>
struct BinaryRow {
  Binary op;
  const char* name;
  Domain domain;
  int cost;
  Z z;
  Reads da_reads;
  DA da;
  Reads db_reads;
  DB db;
};
template <class Z, class DA, class DB>
BinaryRow(Binary, const char*, Domain, int, Z, Reads, DA, Reads, DB) -> BinaryRow<Z, DA, DB>;

constexpr auto kUnused = [](auto dz, auto...) { return dz; };

// clang-format off
constexpr std::tuple kUnary{
    UnaryRow{Unary::neg, "neg", "-x.", Domain::numeric, 1,
             [](auto x) { return -wrapping(x); },
             Reads::nothing, [](auto dz, auto, auto) { return -dz; }},
    UnaryRow{Unary::abs, "abs", "|x|.", Domain::numeric, 1,
             [](auto x) { return vabs(x); },
             Reads::x, [](auto dz, auto x, auto) {
               return x < 0.0f ? -dz : x > 0.0f ? dz : x * 0.0f; }},
    UnaryRow{Unary::exp, "exp", "e ** x.", Domain::floating, 8,
             [](auto x) { return vexp(x); },
             Reads::z, [](auto dz, auto, auto z) { return dz * z; }},
    UnaryRow{Unary::log, "log", "Natural logarithm.", Domain::floating, 8,
             [](auto x) { return vlog(x); },
             Reads::x, [](auto dz, auto x, auto) { return dz / x; }},
    UnaryRow{Unary::log1p, "log1p", "log(1 + x), relatively precise around 0.",
             Domain::floating, 12,
             [](auto x) { return vlog1p(x); },
             Reads::x, [](auto dz, auto x, auto) { return dz / (x + 1.0f); }},
    UnaryRow{Unary::sqrt, "sqrt", "Square root.", Domain::floating, 4,
             [](auto x) { return vsqrt(x); },
             Reads::z, [](auto dz, auto, auto z) { return dz * 0.5f / z; }},
    UnaryRow{Unary::square, "pow", nullptr, Domain::floating, 1,
             [](auto x) { return x * x; },
             Reads::x, [](auto dz, auto x, auto) { return dz * (x + x); }},
    UnaryRow{Unary::cube, "pow", nullptr, Domain::floating, 1,
             [](auto x) { return x * x * x; },
             Reads::x, [](auto dz, auto x, auto) { return dz * 3.0f * x * x; }},
    UnaryRow{Unary::sin, "sin", "Sine of x in radians.", Domain::floating, 12,
             [](auto x) { return vsin(x); },
             Reads::x, [](auto dz, auto x, auto) { return dz * vcos(x); }},
    UnaryRow{Unary::cos, "cos", "Cosine of x in radians.", Domain::floating, 12,
             [](auto x) { return vcos(x); },
             Reads::x, [](auto dz, auto x, auto) { return -dz * vsin(x); }},
    UnaryRow{Unary::relu, "relu", "max(x, 0).", Domain::floating, 1,
             [](auto x) { return x < 0.0f ? decltype(x){} : x; },
             Reads::z, [](auto dz, auto, auto z) { return z <= 0.0f ? decltype(z){} : dz; }, true},
    UnaryRow{Unary::gelu, "gelu",
             "x Phi(x), Phi the normal distribution function: the exact form (Hendrycks & Gimpel "
             "2016).",
             Domain::floating, 12,
             [](auto x) { return gelu(x); },
             Reads::x, [](auto dz, auto x, auto) { return dz * gelu_slope(x); }, true},
    UnaryRow{Unary::tanh, "tanh", "Hyperbolic tangent.", Domain::floating, 8,
             [](auto x) { return vtanh(x); },
             Reads::x, [](auto dz, auto x, auto) { return dz * (4.0f * sigmoid_slope(x + x)); },
             true},
    UnaryRow{Unary::sigmoid, "sigmoid", "1 / (1 + e ** -x).", Domain::floating, 8,
             [](auto x) { return vsigmoid(x); },
             Reads::x, [](auto dz, auto x, auto) { return dz * sigmoid_slope(x); }, true},
    UnaryRow{Unary::silu, "silu", "x * sigmoid(x) (Elfwing et al. 2018).", Domain::floating, 12,
             [](auto x) { return silu(x); },
             Reads::x, [](auto dz, auto x, auto) { return dz * silu_slope(x); }, true},
    UnaryRow{Unary::softplus, "softplus", "log(1 + e ** x), for any x.", Domain::floating, 16,
             [](auto x) { return softplus(x); },
             Reads::x, [](auto dz, auto x, auto) { return dz * vsigmoid(x); }, true},
    UnaryRow{Unary::sign, "sign",
             "-1, 0 or 1. No derivative: backward() through it is a GradError.",
             Domain::floating, 1,
             [](auto x) {
               using V = decltype(x);
               const auto of_zero_or_nan = x == 0.0f ? V{} : x;
               return x > 0.0f ? constant<V>(1) : x < 0.0f ? constant<V>(-1) : of_zero_or_nan; },
             Reads::no_derivative, kUnused},
    UnaryRow{Unary::floor, "floor", "Greatest integer not above x. No derivative.",
             Domain::floating, 1,
             [](auto x) { return vfloor(x); },
             Reads::no_derivative, kUnused},
    UnaryRow{Unary::round, "round", "Nearest integer, ties to even. No derivative.",
             Domain::floating, 1,
             [](auto x) { return vround(x); },
             Reads::no_derivative, kUnused},
};

constexpr std::tuple kBinary{
    BinaryRow{Binary::add, "add", Domain::numeric, 1,
              [](auto a, auto b) { return wrapping(a) + wrapping(b); },
              Reads::passes, kUnused,
              Reads::passes, kUnused},
    BinaryRow{Binary::sub, "sub", Domain::numeric, 1,
              [](auto a, auto b) { return wrapping(a) - wrapping(b); },
              Reads::passes, kUnused,
              Reads::nothing, [](auto dz, auto, auto) { return -dz; }},
    BinaryRow{Binary::mul, "mul", Domain::numeric, 1,
              [](auto a, auto b) { return wrapping(a) * wrapping(b); },
              Reads::b, [](auto dz, auto, auto b) { return dz * b; },
              Reads::a, [](auto dz, auto a, auto) { return dz * a; }},
    BinaryRow{Binary::div, "div", Domain::floating, 2,
              [](auto a, auto b) { return a / b; },
              Reads::b, [](auto dz, auto, auto b) { return dz / b; },
              Reads::both, [](auto dz, auto a, auto b) { return -dz * (a / b / b); }},
    BinaryRow{Binary::maximum, "maximum", Domain::numeric, 1,
              [](auto a, auto b) { return greater_of(a, b); },
              Reads::both, [](auto dz, auto a, auto b) {
                return at_least(a, b) ? dz : decltype(dz){}; },
              Reads::both, [](auto dz, auto a, auto b) {
                return at_least(a, b) ? decltype(dz){} : dz; }},
    BinaryRow{Binary::minimum, "minimum", Domain::numeric, 1,
              [](auto a, auto b) { return lesser_of(a, b); },
              Reads::both, [](auto dz, auto a, auto b) {
                return at_most(a, b) ? dz : decltype(dz){}; },
              Reads::both, [](auto dz, auto a, auto b) {
                return at_most(a, b) ? decltype(dz){} : dz; }},
    BinaryRow{Binary::pow, "pow", Domain::numeric, 32,
              [](auto a, auto b) { return vpow(a, b); },
              Reads::both, [](auto dz, auto a, auto b) { return dz * pow_slope_of_base(a, b); },
              Reads::both, [](auto dz, auto a, auto b) {
                return dz * pow_slope_of_exponent(a, b); }},
    BinaryRow{Binary::floor_divide, "floor_divide", Domain::numeric, 32,
              [](auto a, auto b) { return vfloor_divide(a, b); },
              Reads::no_derivative, kUnused,
              Reads::no_derivative, kUnused},
    BinaryRow{Binary::remainder, "remainder", Domain::numeric, 32,
              [](auto a, auto b) { return vremainder(a, b); },
              Reads::passes, kUnused,
              Reads::both, [](auto dz, auto a, auto b) { return -dz * vfloor_divide(a, b); }},
    BinaryRow{Binary::leaky_relu, "leaky_relu", Domain::floating, 1,
              [](auto x, auto slope) { return x > 0.0f ? x : x * slope; },
              Reads::both, [](auto dz, auto x, auto slope) { return x > 0.0f ? dz : dz * slope; },
              Reads::a, [](auto dz, auto x, auto) { return x > 0.0f ? decltype(dz){} : dz * x; }},
};

constexpr std::tuple kCompare{
    [](auto a, auto b) { return a == b; }, [](auto a, auto b) { return a != b; },
    [](auto a, auto b) { return a < b; },  [](auto a, auto b) { return a <= b; },
    [](auto a, auto b) { return a > b; },  [](auto a, auto b) { return a >= b; },
};
// clang-format on

template <size_t I>
using UnaryRowAt = std::tuple_element_t<I, std::remove_cv_t<decltype(kUnary)>>;
template <size_t I>
using BinaryRowAt = std::tuple_element_t<I, std::remove_cv_t<decltype(kBinary)>>;

}  // namespace
}  // namespace normlab::NORMLAB_ISA
