#pragma once

// Sums of long rows that the idle lanes of a row's last vector cannot enter, for *_cpu.cpp only.

#include "cpu/simd_rows.h"

namespace normlab::NORMLAB_ISA {
namespace {  // NOLINT

/// A sum of vectors. The idle lanes of a last vector are masked here: they are zero as loaded, but
/// not after most arithmetic.
class LaneSum {
 public:
  void add(vfloat v, int64_t count) { lanes_ += keep_first(v, count, 0); }
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

/// total[k] += K sums over [begin, end); add(j, count, acc) adds one vector to each of them. Four
/// independent banks hide the latency of addition.
template <int K, class F>
inline void sums(int64_t begin, int64_t end, double (&total)[K], const F& add) {
  for (int64_t from = begin; from < end; from += kBlock) {
    const int64_t to = end - from < kBlock ? end : from + kBlock;
    LaneSum acc[4][K];
    int64_t j = from;
    for (; j + 4 * kLanes <= to; j += 4 * kLanes)
      for (int bank = 0; bank < 4; ++bank)
        add(j + bank * kLanes, std::integral_constant<int64_t, kLanes>(), acc[bank]);
    each_vector(j, to, [&](int64_t i, auto part) { add(i, part, acc[0]); });
    for (int k = 0; k < K; ++k)
      total[k] += ((acc[0][k] + acc[1][k]) + (acc[2][k] + acc[3][k])).total();
  }
}

}  // namespace
}  // namespace normlab::NORMLAB_ISA
