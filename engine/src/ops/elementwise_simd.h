#pragma once

// What the rows of elementwise_table.h are written with, for vfloat; beside simd_math.h. For
// *_cpu.cpp only.

#include <cmath>

#include "backend/simd_math.h"

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
inline vfloat vpow(vfloat x, vfloat y) {
  for (int i = 0; i < kLanes; ++i) x[i] = std::pow(x[i], y[i]);
  return x;
}

}  // namespace
}  // namespace normlab::NORMLAB_ISA
