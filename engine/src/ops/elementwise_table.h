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

/// Whether maximum / minimum take a; NaN wins.
template <class V>
constexpr auto at_least(V a, V b) {
  return (a >= b) | is_nan(a);
}
template <class V>
constexpr auto at_most(V a, V b) {
  return (a <= b) | is_nan(a);
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

// --- the tables ---------------------------------------------------------------------------------
/// z(x); its gradient dx(dz, x, z), which reads of x and z what `reads` says.
template <class Z, class DX>
struct UnaryRow {
  Unary op;
  const char* name;
  Domain domain;
  int cost;
  Z z;
  Reads reads;
  DX dx;
};
// Deduced from braces without a guide by GCC, and by Clang from 17 on.
template <class Z, class DX>
UnaryRow(Unary, const char*, Domain, int, Z, Reads, DX) -> UnaryRow<Z, DX>;
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
    UnaryRow{Unary::neg, "neg", Domain::numeric, 1,
             [](auto x) { return -wrapping(x); },
             Reads::nothing, [](auto dz, auto, auto) { return -dz; }},
    UnaryRow{Unary::abs, "abs", Domain::numeric, 1,
             [](auto x) { return vabs(x); },
             Reads::x, [](auto dz, auto x, auto) {
               return x < 0.0f ? -dz : x > 0.0f ? dz : x * 0.0f; }},
    UnaryRow{Unary::exp, "exp", Domain::floating, 8,
             [](auto x) { return vexp(x); },
             Reads::z, [](auto dz, auto, auto z) { return dz * z; }},
    UnaryRow{Unary::log, "log", Domain::floating, 8,
             [](auto x) { return vlog(x); },
             Reads::x, [](auto dz, auto x, auto) { return dz / x; }},
    UnaryRow{Unary::sqrt, "sqrt", Domain::floating, 4,
             [](auto x) { return vsqrt(x); },
             Reads::z, [](auto dz, auto, auto z) { return dz * 0.5f / z; }},
    UnaryRow{Unary::square, "pow", Domain::floating, 1,
             [](auto x) { return x * x; },
             Reads::x, [](auto dz, auto x, auto) { return dz * (x + x); }},
    UnaryRow{Unary::cube, "pow", Domain::floating, 1,
             [](auto x) { return x * x * x; },
             Reads::x, [](auto dz, auto x, auto) { return dz * 3.0f * x * x; }},
    UnaryRow{Unary::tanh, "tanh", Domain::floating, 8,
             [](auto x) { return vtanh(x); },
             Reads::z, [](auto dz, auto, auto z) { return dz * (1.0f - z * z); }},
    UnaryRow{Unary::sigmoid, "sigmoid", Domain::floating, 8,
             [](auto x) { return vsigmoid(x); },
             Reads::z, [](auto dz, auto, auto z) { return dz * z * (1.0f - z); }},
    UnaryRow{Unary::relu, "relu", Domain::floating, 1,
             [](auto x) { return x < 0.0f ? decltype(x){} : x; },
             Reads::z, [](auto dz, auto, auto z) { return z <= 0.0f ? decltype(z){} : dz; }},
    UnaryRow{Unary::gelu, "gelu", Domain::floating, 12,
             [](auto x) { return gelu(x); },
             Reads::x, [](auto dz, auto x, auto) { return dz * gelu_slope(x); }},
    UnaryRow{Unary::sign, "sign", Domain::floating, 1,
             [](auto x) {
               using V = decltype(x);
               return x > 0.0f ? constant<V>(1) : x < 0.0f ? constant<V>(-1) : x * 0.0f; },
             Reads::no_derivative, kUnused},
    UnaryRow{Unary::floor, "floor", Domain::floating, 1,
             [](auto x) { return vfloor(x); },
             Reads::no_derivative, kUnused},
    UnaryRow{Unary::round, "round", Domain::floating, 1,
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
              Reads::both, [](auto dz, auto a, auto b) { return -(dz / b) * (a / b); }},
    BinaryRow{Binary::maximum, "maximum", Domain::numeric, 1,
              [](auto a, auto b) { return at_least(a, b) ? a : b; },
              Reads::both, [](auto dz, auto a, auto b) {
                return at_least(a, b) ? dz : decltype(dz){}; },
              Reads::both, [](auto dz, auto a, auto b) {
                return at_least(a, b) ? decltype(dz){} : dz; }},
    BinaryRow{Binary::minimum, "minimum", Domain::numeric, 1,
              [](auto a, auto b) { return at_most(a, b) ? a : b; },
              Reads::both, [](auto dz, auto a, auto b) {
                return at_most(a, b) ? dz : decltype(dz){}; },
              Reads::both, [](auto dz, auto a, auto b) {
                return at_most(a, b) ? decltype(dz){} : dz; }},
    // b is a constant exponent; for 0 the slope is 0 even at a = 0.
    BinaryRow{Binary::pow, "pow", Domain::floating, 32,
              [](auto a, auto b) { return vpow(a, b); },
              Reads::both, [](auto dz, auto a, auto b) {
                return b == 0.0f ? b : dz * b * vpow(a, b - 1.0f); },
              Reads::no_derivative, kUnused},
};

constexpr std::tuple kCompare{
    [](auto a, auto b) { return a == b; }, [](auto a, auto b) { return a != b; },
    [](auto a, auto b) { return a < b; },  [](auto a, auto b) { return a <= b; },
    [](auto a, auto b) { return a > b; },  [](auto a, auto b) { return a >= b; },
};
// clang-format on

}  // namespace
}  // namespace normlab::NORMLAB_ISA
