#include <cmath>
#include <type_traits>

#include "cpu/parallel.h"
#include "ops/reduce.h"

namespace normlab::reference {
namespace {

template <class Z, class Value>
Z pairwise(int64_t begin, int64_t end, const Value& value) {
  constexpr int64_t kRun = 16;
  if (end - begin > kRun) {
    const int64_t middle = begin + (end - begin) / 2;
    return pairwise<Z>(begin, middle, value) + pairwise<Z>(middle, end, value);
  }
  Z sum = 0;
  for (int64_t i = begin; i < end; ++i) sum += value(i);
  return sum;
}

/// True if v replaces `best` as the greatest so far: the first NaN wins.
template <class T>
bool beats(T v, T best) {
  if constexpr (std::is_floating_point_v<T>)
    if (std::isnan(v)) return !std::isnan(best);
  return v > best;
}

}  // namespace

template <class T, class Z>
void sum(const T* x, const T* center, AxisView view, double scale, Z* z) {
  parallel_for(view.outer * view.inner, view.n, [&](int64_t k) {
    const T* column = x + k / view.inner * view.n * view.inner + k % view.inner;
    const auto value = [&](int64_t i) -> Z { return column[i * view.inner]; };
    if constexpr (std::is_floating_point_v<T>) {
      const auto square = [&](int64_t i) {
        const T d = column[i * view.inner] - center[k];
        return d * d;
      };
      const T total = center ? pairwise<T>(0, view.n, square) : pairwise<T>(0, view.n, value);
      z[k] = static_cast<T>(total * scale);
    } else {
      z[k] = pairwise<Z>(0, view.n, value);
    }
  });
}

template <class T>
void var_backward(const T* x, const T* mean, const T* dz, AxisView view, double scale, T* dx) {
  parallel_for(view.outer * view.n, view.inner, [&](int64_t row) {
    const int64_t kept = row / view.n * view.inner;
    for (int64_t i = 0; i < view.inner; ++i) {
      const int64_t k = row * view.inner + i;
      dx[k] = static_cast<T>(scale * dz[kept + i] * (x[k] - mean[kept + i]));
    }
  });
}

template <class T>
void max(const T* x, AxisView view, T* z, int64_t* place) {
  parallel_for(view.outer * view.inner, view.n, [&](int64_t k) {
    const T* column = x + k / view.inner * view.n * view.inner + k % view.inner;
    int64_t best = 0;
    for (int64_t i = 1; i < view.n; ++i)
      if (beats(column[i * view.inner], column[best * view.inner])) best = i;
    z[k] = column[best * view.inner];
    place[k] = best;
  });
}

template void sum(const float*, const float*, AxisView, double, float*);
template void sum(const double*, const double*, AxisView, double, double*);
template void sum(const int32_t*, const int32_t*, AxisView, double, int64_t*);
template void sum(const int64_t*, const int64_t*, AxisView, double, int64_t*);
template void sum(const uint8_t*, const uint8_t*, AxisView, double, int64_t*);
template void sum(const bool*, const bool*, AxisView, double, int64_t*);
template void var_backward(const float*, const float*, const float*, AxisView, double, float*);
template void var_backward(const double*, const double*, const double*, AxisView, double, double*);
template void max(const float*, AxisView, float*, int64_t*);
template void max(const double*, AxisView, double*, int64_t*);
template void max(const int32_t*, AxisView, int32_t*, int64_t*);
template void max(const int64_t*, AxisView, int64_t*, int64_t*);
template void max(const uint8_t*, AxisView, uint8_t*, int64_t*);
template void max(const bool*, AxisView, bool*, int64_t*);

}  // namespace normlab::reference
