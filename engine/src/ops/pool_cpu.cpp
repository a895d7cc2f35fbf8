#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "cpu/simd.h"
#include "ops/pool.h"

namespace normlab::NORMLAB_ISA {
namespace {

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

// --- 2 x 2, stride 2: both rows at once ---------------------------------------------------------

/// Shuffles of N lanes: the even and odd ones of two vectors, and two vectors interleaved.
template <int N>
struct Pairs {
  typedef float Value __attribute__((vector_size(4 * N)));
  typedef int32_t Index __attribute__((vector_size(4 * N)));
  typedef uint8_t Bytes __attribute__((vector_size(N)));

  static Value even(Value a, Value b) { return every_other<0>(a, b, Lanes()); }
  static Value odd(Value a, Value b) { return every_other<1>(a, b, Lanes()); }
  static Value low(Value a, Value b) { return interleaved<0>(a, b, Lanes()); }
  static Value high(Value a, Value b) { return interleaved<N / 2>(a, b, Lanes()); }

 private:
  using Lanes = std::make_integer_sequence<int, N>;

  template <int first, int... I>
  static Value every_other(Value a, Value b, std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(a, b, (2 * I + first)...);
  }
  template <int first, int... I>
  static Value interleaved(Value a, Value b, std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(a, b, (first + I / 2 + I % 2 * N)...);
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
[[gnu::always_inline]] inline void challenge(Value& best, Index& winner, Value value, int number) {
  const Index wins = (value > best) | (value != value);
  best = wins ? value : best;
  winner = wins ? number + Index{} : winner;
}

template <int N>
void max_block(const float* top, const float* bottom, float* z, uint8_t* winner) {
  using P = Pairs<N>;
  using Value = typename P::Value;
  const auto t0 = read<Value>(top), t1 = read<Value>(top + N);
  const auto b0 = read<Value>(bottom), b1 = read<Value>(bottom + N);
  Value best = P::even(t0, t1);
  typename P::Index number{};
  challenge(best, number, P::odd(t0, t1), 1);
  challenge(best, number, P::even(b0, b1), 2);
  challenge(best, number, P::odd(b0, b1), 3);
  write(z, best);
  write(winner, __builtin_convertvector(number, typename P::Bytes));
}

template <int N>
void max_backward_block(const float* dz, const uint8_t* winner, float* top, float* bottom) {
  using P = Pairs<N>;
  using Value = typename P::Value;
  const auto g = read<Value>(dz);
  const auto number = __builtin_convertvector(read<typename P::Bytes>(winner), typename P::Index);
  const Value zero{};
  const Value a = number == 0 ? g : zero, b = number == 1 ? g : zero;
  const Value c = number == 2 ? g : zero, d = number == 3 ? g : zero;
  write(top, P::low(a, b));
  write(top + N, P::high(a, b));
  write(bottom, P::low(c, d));
  write(bottom + N, P::high(c, d));
}

/// Calls body<lanes>(j) for blocks of [0, n); single ones are blocks of 1.
template <class Body>
void for_blocks(int64_t n, const Body& body) {
  int64_t j = 0;
#if defined(__AVX__)
  for (; j + 8 <= n; j += 8) body.template operator()<8>(j);
#endif
  for (; j + 4 <= n; j += 4) body.template operator()<4>(j);
  for (; j < n; ++j) body.template operator()<1>(j);
}

template <>
void max_block<1>(const float* top, const float* bottom, float* z, uint8_t* winner) {
  const float value[4] = {top[0], top[1], bottom[0], bottom[1]};
  int best = 0;
  for (int i = 1; i < 4; ++i)
    if (value[i] > value[best] || value[i] != value[i]) best = i;
  *z = value[best];
  *winner = static_cast<uint8_t>(best);
}

template <>
void max_backward_block<1>(const float* dz, const uint8_t* winner, float* top, float* bottom) {
  top[0] = *winner == 0 ? *dz : 0.0F;
  top[1] = *winner == 1 ? *dz : 0.0F;
  bottom[0] = *winner == 2 ? *dz : 0.0F;
  bottom[1] = *winner == 3 ? *dz : 0.0F;
}

void pair_max(const PoolShape& s, const float* x, float* z, uint8_t* winner) {
  for (int64_t y = 0; y < s.OH; ++y, x += 2 * s.W, z += s.OW, winner += s.OW)
    for_blocks(s.OW, [&]<int N>(int64_t j) {
      max_block<N>(x + 2 * j, x + s.W + 2 * j, z + j, winner + j);
    });
}

void pair_max_backward(const PoolShape& s, const float* dz, const uint8_t* winner, float* dx) {
  for (int64_t y = 0; y < s.OH; ++y, dx += 2 * s.W, dz += s.OW, winner += s.OW) {
    for_blocks(s.OW, [&]<int N>(int64_t j) {
      max_backward_block<N>(dz + j, winner + j, dx + 2 * j, dx + s.W + 2 * j);
    });
    if (s.W % 2 != 0) dx[s.W - 1] = dx[2 * s.W - 1] = 0.0F;
  }
  if (s.H % 2 != 0) std::fill_n(dx, s.W, 0.0F);
}

}  // namespace

extern const PoolKernels<float> pool_f32 = {max<float>, max_backward<float>, mean<float>,
                                            mean_backward<float>};
extern const PoolKernels<double> pool_f64 = {max<double>, max_backward<double>, mean<double>,
                                             mean_backward<double>};
extern const PairPoolKernels pair_pool = {pair_max, pair_max_backward};

}  // namespace normlab::NORMLAB_ISA
