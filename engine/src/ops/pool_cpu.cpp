#include <algorithm>
#include <cstring>
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

// --- any window: a block of results at a time, one place of the window after the other ----------

constexpr int64_t kBlock = 64;

/// Calls body(begin, n) for blocks of a plane's results.
template <class Body>
void for_results(const PoolShape& s, const Body& body) {
  const int64_t results = s.OH * s.OW;
  for (int64_t begin = 0; begin < results; begin += kBlock)
    body(begin, static_cast<int>(std::min(kBlock, results - begin)));
}

/// The window's place `at` against the best so far. Inlined, the loop would
/// not be vectorised.
template <class T>
[[gnu::noinline]] void challenge_all(const T* __restrict from, const int32_t* __restrict origin,
                                     int n, int32_t at, T* __restrict best,
                                     int32_t* __restrict place) {
  for (int j = 0; j < n; ++j) {
    const T value = from[origin[j]];
    const bool wins = (value > best[j]) | (value != value);
    best[j] = wins ? value : best[j];
    place[j] = wins ? at : place[j];
  }
}

template <class T>
void max(const PoolShape& s, const T* x, T* z, int32_t* winner) {
  if constexpr (std::is_same_v<T, float>)
    if (in_pairs<T>(s)) return max_in_pairs(s, x, z, winner);
  for_results(s, [&](int64_t begin, int n) {
    const int32_t* origin = s.origin + begin;
    T best[kBlock];
    int32_t place[kBlock] = {};
    for (int j = 0; j < n; ++j) best[j] = x[origin[j]];
    for (int64_t k = 1; k < s.KH * s.KW; ++k) {
      const auto at = static_cast<int32_t>(k / s.KW * s.W + k % s.KW);
      challenge_all(x + at, origin, n, at, best, place);
    }
    for (int j = 0; j < n; ++j) z[begin + j] = best[j];
    for (int j = 0; j < n; ++j) winner[begin + j] = origin[j] + place[j];
  });
}

template <class T>
void max_backward(const PoolShape& s, const T* dz, const int32_t* winner, T* dx) {
  std::fill_n(dx, s.H * s.W, T(0));
  if (in_pairs<T>(s))  // no element is in two windows
    for (int64_t i = 0; i < s.OH * s.OW; ++i) dx[winner[i]] = dz[i];
  else
    for (int64_t i = 0; i < s.OH * s.OW; ++i) dx[winner[i]] += dz[i];
}

template <class T>
void mean(const PoolShape& s, const T* x, T* z) {
  const T scale = T(1) / static_cast<T>(s.divisor);
  for_results(s, [&](int64_t begin, int n) {
    const int32_t* origin = s.origin + begin;
    T sum[kBlock] = {};
    for (int64_t k = 0; k < s.KH * s.KW; ++k) {
      const T* from = x + k / s.KW * s.W + k % s.KW;
      for (int j = 0; j < n; ++j) sum[j] += from[origin[j]];
    }
    for (int j = 0; j < n; ++j) z[begin + j] = sum[j] * scale;
  });
}

/// Calls body(stride) with the stride as a constant where loops over it then vectorise.
template <class Body>
void with_stride(int64_t stride, const Body& body) {
  if (stride == 1) return body(std::integral_constant<int64_t, 1>());
  if (stride == 2) return body(std::integral_constant<int64_t, 2>());
  body(stride);
}

template <class T>
void mean_backward(const PoolShape& s, const T* dz, T* dx) {
  const T scale = s.divisor == 0 ? T(1) : T(1) / static_cast<T>(s.divisor);
  std::fill_n(dx, s.H * s.W, T(0));
  for (int64_t y = 0; y < s.OH; ++y, dz += s.OW) {
    for (int64_t k = 0; k < s.KH * s.KW; ++k) {
      const int64_t in_y = y * s.stride_h + k / s.KW - s.padding_h, first = k % s.KW - s.padding_w;
      if (in_y < 0 || in_y >= s.H) continue;
      const Inside x = s.padded() ? inside(s.OW, s.stride_w, first, s.W) : Inside{0, s.OW};
      T* to = dx + in_y * s.W + first;
      with_stride(s.stride_w, [&](auto stride) {
        for (int64_t j = x.begin; j < x.end; ++j) to[j * stride] += scale * dz[j];
      });
    }
  }
}

}  // namespace

extern const PoolKernels<float> pool_f32 = {max<float>, max_backward<float>, mean<float>,
                                            mean_backward<float>};
extern const PoolKernels<double> pool_f64 = {max<double>, max_backward<double>, mean<double>,
                                             mean_backward<double>};

}  // namespace normlab::NORMLAB_ISA
