#pragma once

// Rows walked in whole vectors (Full) and a rest (Part) by the same code, and sums that the idle
// lanes of a rest cannot enter, for *_cpu.cpp only.

#include "cpu/simd_rows.h"

namespace normlab::NORMLAB_ISA {
namespace {  // NOLINT

struct Full {};
struct Part {
  int64_t n;
};

[[maybe_unused]] inline vfloat load(const float* p, Full) {
  return load(p);
}
[[maybe_unused]] inline vfloat load(const float* p, Part part) {
  return load_part(p, part.n);
}
[[maybe_unused]] inline void store(float* p, vfloat v, Full) {
  store(p, v);
}
[[maybe_unused]] inline void store(float* p, vfloat v, Part part) {
  store_part(p, v, part.n);
}

template <class F>
inline void each_vector(int64_t begin, int64_t end, const F& f) {
  int64_t j = begin;
  for (; j + kLanes <= end; j += kLanes) f(j, Full{});
  if (j < end) f(j, Part{end - j});
}

/// A sum of vectors. What is added of a rest is masked here, whatever its idle lanes hold: they are
/// zero as loaded, and no longer after most arithmetic.
class LaneSum {
 public:
  void add(vfloat v, Full) { lanes_ += v; }
  void add(vfloat v, Part part) { lanes_ += keep_first(v, part.n, 0); }
  float total() const { return sum(lanes_); }
  friend LaneSum operator+(LaneSum a, LaneSum b) {
    a.lanes_ += b.lanes_;
    return a;
  }

 private:
  vfloat lanes_{};
};

/// Longer rows are summed in blocks of this many elements, the blocks in double.
inline constexpr int64_t kBlock = 8192;

/// total[k] += K sums over [begin, end); add(j, part, acc) adds one vector to each of them. Four
/// independent banks hide the latency of addition.
template <int K, class F>
inline void sums(int64_t begin, int64_t end, double (&total)[K], const F& add) {
  for (int64_t from = begin; from < end; from += kBlock) {
    const int64_t to = end - from < kBlock ? end : from + kBlock;
    LaneSum acc[4][K];
    int64_t j = from;
    for (; j + 4 * kLanes <= to; j += 4 * kLanes)
      for (int bank = 0; bank < 4; ++bank) add(j + bank * kLanes, Full{}, acc[bank]);
    each_vector(j, to, [&](int64_t i, auto part) { add(i, part, acc[0]); });
    for (int k = 0; k < K; ++k)
      total[k] += ((acc[0][k] + acc[1][k]) + (acc[2][k] + acc[3][k])).total();
  }
}

}  // namespace
}  // namespace normlab::NORMLAB_ISA
