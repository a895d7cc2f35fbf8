#pragma once

// Rows of float32 of any length, for *_cpu.cpp only: a cheap end of the row, long sums, the
// greatest element and what softmax makes of them.

#include <cmath>
#include <cstring>
#include <type_traits>

#include "cpu/simd_math.h"

namespace normlab::NORMLAB_ISA {
namespace {  // NOLINT

typedef float vfloat_half __attribute__((vector_size(2 * kLanes)));
typedef double vdouble __attribute__((vector_size(4 * kLanes)));

/// v with `fill` in all lanes but the first `count`.
[[maybe_unused]] inline vfloat keep_first(vfloat v, int64_t count, float fill) {
  return count == kLanes ? v : first_lanes(count) ? v : broadcast(fill);
}

/// Calls body(i, count) for every vector of [begin, end): count is kLanes, a constant, but for the
/// last.
template <class Body>
void each_vector(int64_t begin, int64_t end, const Body& body) {
  int64_t i = begin;
  for (; i + kLanes <= end; i += kLanes) body(i, std::integral_constant<int64_t, kLanes>());
  if (i < end) body(i, end - i);
}

/// The lanes of many vectors, summed in float64.
struct WideLanes {
  vdouble low{}, high{};

  void add(vfloat v) {
    vfloat_half half[2];
    std::memcpy(half, &v, sizeof v);
    low += __builtin_convertvector(half[0], vdouble);
    high += __builtin_convertvector(half[1], vdouble);
  }
  double total() const {
    double lane[kLanes / 2];
    const vdouble v = low + high;
    std::memcpy(lane, &v, sizeof v);
    for (int width = kLanes / 4; width > 0; width /= 2)
      for (int i = 0; i < width; ++i) lane[i] += lane[i + width];
    return lane[0];
  }
};

/// Sum of value(i, count) over the vectors of [0, n); what the lanes from `count` on hold does not
/// enter it. Runs of kRun vectors are added in float32, the runs in float64: the error is that of a
/// few roundings for any n.
template <int kRun = 8, class Value>
double sum_over(int64_t n, const Value& value) {
  WideLanes sum;
  int64_t i = 0;
  for (; i + kRun * kLanes <= n; i += kRun * kLanes) {
    vfloat even = value(i, kLanes), odd = value(i + kLanes, kLanes);
    for (int64_t k = 2; k < kRun; k += 2) {
      even += value(i + k * kLanes, kLanes);
      odd += value(i + (k + 1) * kLanes, kLanes);
    }
    sum.add(even + odd);
  }
  each_vector(0, n - i, [&](int64_t at, int64_t count) {
    sum.add(keep_first(value(i + at, count), count, 0));
  });
  return sum.total();
}

/// Greatest element of a row, NaNs passed over; -infinity if there is none.
[[maybe_unused]] inline float row_max(const float* x, int64_t n) {
  vfloat best[4];
  for (vfloat& b : best) b = broadcast(-kInf);
  const auto take = [](vfloat& b, vfloat v) { b = v > b ? v : b; };
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes)
    for (int k = 0; k < 4; ++k) take(best[k], load(x + i + k * kLanes));
  each_vector(0, n - i, [&](int64_t at, int64_t count) {
    take(best[0], keep_first(load(x + i + at, count), count, -kInf));
  });
  for (int k = 1; k < 4; ++k) take(best[0], best[k]);
  float lane[kLanes];
  store(lane, best[0]);
  for (int width = kLanes / 2; width > 0; width /= 2)
    for (int k = 0; k < width; ++k)
      if (lane[k + width] > lane[k]) lane[k] = lane[k + width];
  return lane[0];
}

/// Sum of exp(x - greatest) over a row, and the greatest element.
struct ExpSum {
  float greatest = -kInf;
  double total = 0;
};

/// In blocks that stay in the L1 cache: the row comes from memory once.
[[maybe_unused]] inline ExpSum exp_sum(const float* x, int64_t n) {
  constexpr int64_t kBlock = 2048;
  ExpSum sum;
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const float* block = x + begin;
    const int64_t size = n - begin < kBlock ? n - begin : kBlock;
    const float greatest = row_max(block, size);
    if (greatest > sum.greatest) {
      sum.total *= std::exp(static_cast<double>(sum.greatest) - greatest);
      sum.greatest = greatest;
    }
    const float shift = sum.greatest == -kInf ? 0 : sum.greatest;  // no -inf - -inf so far
    sum.total += sum_over(
        size, [&](int64_t i, int64_t count) { return vexp(load(block + i, count) - shift); });
  }
  return sum;
}

}  // namespace
}  // namespace normlab::NORMLAB_ISA
