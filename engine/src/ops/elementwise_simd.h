#pragma once

// What the rows of elementwise_table.h are written with, for vfloat; beside simd_math.h. For
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

}  // namespace
}  // namespace normlab::NORMLAB_ISA
