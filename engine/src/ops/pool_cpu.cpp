#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "cpu/simd.h"
#include "ops/pool.h"

namespace normlab::NORMLAB_ISA {
namespace {

// --- 2 x 2, stride 2: both rows at once, in float32 ---------------------------------------------

template <class T>
bool in_pairs(const PoolShape& s) {
  return std::is_same_v<T, float> && s.KH == 2 && s.KW == 2 && s.stride_h == 2 && s.stride_w == 2 &&
         !s.padded();
}

/// Shuffles of N lanes: the even and odd ones of two vectors.
template <int N>
struct Pairs {
  typedef float Value __attribute__((vector_size(4 * N)));
  typedef int32_t Index __attribute__((vector_size(4 * N)));

  static Value even(Value a, Value b) { return every_other<0>(a, b, Lanes()); }
  static Value odd(Value a, Value b) { return every_other<1>(a, b, Lanes()); }
  /// 0, 2, 4, ...
  static Index twice() { return evens(Lanes()); }

 private:
  using Lanes = std::make_integer_sequence<int, N>;

  template <int first, int... I>
  static Value every_other(Value a, Value b, std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(a, b, (2 * I + first)...);
  }
  template <int... I>
  static Index evens(std::integer_sequence<int, I...>) {
    return Index{2 * I...};
  }
};

/// Vectors of any width without alignment.
template <class V>
V read(const void* p) {
  V v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
template <class V>
void write(void* p, const V& v) {
  std::memcpy(p, &v, sizeof v);
}

template <class Value, class Index>
[[gnu::always_inline]] inline void challenge(Value& best, Index& winner, Value value,
                                             const Index& place) {
  const Index wins = (value > best) | (value != value);
  best = wins ? value : best;
  winner = wins ? place : winner;
}

/// N windows whose upper left elements lie at `place` of the plane and every two further.
template <int N>
void max_block(const float* x, int32_t W, int32_t place, float* z, int32_t* winner) {
  using P = Pairs<N>;
  using Value = typename P::Value;
  const float *top = x + place, *bottom = top + W;
  const auto t0 = read<Value>(top), t1 = read<Value>(top + N);
  const auto b0 = read<Value>(bottom), b1 = read<Value>(bottom + N);
  Value best = P::even(t0, t1);
  const typename P::Index first = P::twice() + place;
  typename P::Index at = first;
  challenge(best, at, P::odd(t0, t1), first + 1);
  challenge(best, at, P::even(b0, b1), first + W);
  challenge(best, at, P::odd(b0, b1), first + W + 1);
  write(z, best);
  write(winner, at);
}

template <>
void max_block<1>(const float* x, int32_t W, int32_t place, float* z, int32_t* winner) {
  int32_t best = place;
  for (const int32_t other : {place + 1, place + W, place + W + 1})
    if (x[other] > x[best] || x[other] != x[other]) best = other;
  *z = x[best];
  *winner = best;
}

void max_in_pairs(const PoolShape& s, const float* x, float* z, int32_t* winner) {
  const auto W = static_cast<int32_t>(s.W);
  for (int64_t y = 0; y < s.OH; ++y, z += s.OW, winner += s.OW) {
    int64_t j = 0;
    const auto blocks_of = [&]<int N>() {
      for (; j + N <= s.OW; j += N)
        max_block<N>(x, W, static_cast<int32_t>(2 * (y * s.W + j)), z + j, winner + j);
    };
#if defined(__AVX__)
    blocks_of.template operator()<8>();
#endif
    blocks_of.template operator()<4>();
    blocks_of.template operator()<1>();
  }
}

// --- any window: a row of results at a time, one element of the windows after the other --------

/// Calls body(stride) with the stride as a constant where loops over it then vectorise.
template <class Body>
void with_stride(int64_t stride, const Body& body) {
  if (stride == 1) return body(std::integral_constant<int64_t, 1>());
  if (stride == 2) return body(std::integral_constant<int64_t, 2>());
  body(stride);
}

/// For each element of the windows of the y-th row of results: body(place, results, stride). For
/// result j of `results` the element lies at place + j * stride of the plane, for others outside.
template <class Body>
void for_elements(const PoolShape& s, int64_t y, const Body& body) {
  for (int64_t k = 0; k < s.KH * s.KW; ++k) {
    const int64_t in_y = y * s.stride_h + k / s.KW - s.padding_h, first = k % s.KW - s.padding_w;
    if (in_y < 0 || in_y >= s.H) continue;
    const Inside results = s.padded() ? inside(s.OW, s.stride_w, first, s.W) : Inside{0, s.OW};
    with_stride(s.stride_w, [&](auto stride) { body(in_y * s.W + first, results, stride); });
  }
}

/// One element of n windows, the first at `place`, against the best so far.
template <class T, class Stride>
void challenge_row(const T* __restrict from, Stride stride, int32_t place, int32_t n,
                   T* __restrict best, int32_t* __restrict winner) {
  const auto step = static_cast<int32_t>(stride);
  for (int32_t j = 0; j < n; ++j) {
    const T value = from[j * stride];
    const bool wins = (value > best[j]) | (value != value);
    best[j] = wins ? value : best[j];
    winner[j] = wins ? place + j * step : winner[j];
  }
}

template <class T>
void max(const PoolShape& s, const T* x, T* z, int32_t* winner) {
  if constexpr (std::is_same_v<T, float>)
    if (in_pairs<T>(s)) return max_in_pairs(s, x, z, winner);
  for (int64_t y = 0; y < s.OH; ++y, z += s.OW, winner += s.OW) {
    // The first element of x: the winner if no other is greater than -infinity.
    const int64_t top = std::max<int64_t>(y * s.stride_h - s.padding_h, 0) * s.W;
    for (int64_t j = 0; j < s.OW; ++j)
      winner[j] = static_cast<int32_t>(top + std::max<int64_t>(j * s.stride_w - s.padding_w, 0));
    std::fill_n(z, s.OW, -std::numeric_limits<T>::infinity());
    for_elements(s, y, [&](int64_t place, Inside results, auto stride) {
      const auto begin = static_cast<int32_t>(results.begin);
      challenge_row(x + place + begin * stride, stride,
                    static_cast<int32_t>(place + begin * stride),
                    static_cast<int32_t>(results.end) - begin, z + begin, winner + begin);
    });
  }
}

template <class T>
void max_backward(const PoolShape& s, const T* dz, const int32_t* winner, T* dx) {
  std::fill_n(dx, s.H * s.W, T(0));
  if (in_pairs<T>(s))  // no element is in two windows
    for (int64_t i = 0; i < s.OH * s.OW; ++i) dx[winner[i]] = dz[i];
  else
    for (int64_t i = 0; i < s.OH * s.OW; ++i) dx[winner[i]] += dz[i];
}

/// Factor of a sum. Means whose divisor is not constant are divided by the caller.
template <class T>
T scale_of(const PoolShape& s) {
  return s.divisor == 0 ? T(1) : T(1) / static_cast<T>(s.divisor);
}

template <class T>
void mean(const PoolShape& s, const T* x, T* z) {
  const T scale = scale_of<T>(s);
  for (int64_t y = 0; y < s.OH; ++y, z += s.OW) {
    std::fill_n(z, s.OW, T(0));
    for_elements(s, y, [&](int64_t place, Inside results, auto stride) {
      T* __restrict sum = z;
      for (int64_t j = results.begin; j < results.end; ++j) sum[j] += x[place + j * stride];
    });
    for (int64_t j = 0; j < s.OW; ++j) z[j] *= scale;
  }
}

template <class T>
void mean_backward(const PoolShape& s, const T* dz, T* dx) {
  const T scale = scale_of<T>(s);
  std::fill_n(dx, s.H * s.W, T(0));
  for (int64_t y = 0; y < s.OH; ++y, dz += s.OW)
    for_elements(s, y, [&](int64_t place, Inside results, auto stride) {
      for (int64_t j = results.begin; j < results.end; ++j) dx[place + j * stride] += scale * dz[j];
    });
}

}  // namespace

extern const PoolKernels<float> pool_f32 = {max<float>, max_backward<float>, mean<float>,
                                            mean_backward<float>};
extern const PoolKernels<double> pool_f64 = {max<double>, max_backward<double>, mean<double>,
                                             mean_backward<double>};

}  // namespace normlab::NORMLAB_ISA
