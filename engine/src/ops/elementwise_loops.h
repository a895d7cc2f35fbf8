#pragma once

// Loops that apply a function of elementwise_table.h to arrays; for *_cpu.cpp only.

#include "ops/elementwise_simd.h"
#include "ops/elementwise_table.h"

namespace normlab::NORMLAB_ISA {
namespace {  // NOLINT

/// An input array; at(i) is what a function of the table takes: kLanes floats, or one element.
template <class T>
struct Array {
  const T* p;
  explicit Array(const void* data) : p(static_cast<const T*>(data)) {}
  T at(int64_t i) const { return p[i]; }
};
template <>
struct Array<float> {
  const float* p;
  explicit Array(const void* data) : p(static_cast<const float*>(data)) {}
  vfloat at(int64_t i) const { return load(p + i); }
  vfloat part(int64_t i, int64_t n) const { return load(p + i, n); }
};

/// One number in place of an array.
template <class T>
struct Same {
  T value;
  explicit Same(T x) : value(x) {}
  T at(int64_t) const { return value; }
};
template <>
struct Same<float> {
  vfloat value;
  explicit Same(float x) : value(broadcast(x)) {}
  vfloat at(int64_t) const { return value; }
  vfloat part(int64_t, int64_t) const { return value; }
};

template <class T, class Body>
void with_reader(const LoopOperand& x, const Body& body) {
  if (x.scalar)
    body(Same<T>(*x.as<T>()));
  else
    body(Array<T>(x.data));
}

/// z[i] = f(inputs[i]...) for i in [0, n).
template <class T, class F, class... Inputs>
void map(T* z, int64_t n, const F& f, const Inputs&... inputs) {
  if constexpr (std::is_same_v<T, float>) {
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) store(z + i, f(inputs.at(i)...));
    if (i < n) store(z + i, f(inputs.part(i, n - i)...), n - i);
  } else {
    for (int64_t i = 0; i < n; ++i) z[i] = static_cast<T>(f(inputs.at(i)...));
  }
}

}  // namespace
}  // namespace normlab::NORMLAB_ISA
