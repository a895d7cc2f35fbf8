#pragma once

#include <cstdint>
#include <vector>

#include "cpu/isa.h"
#include "cpu/parallel.h"
#include "normlab/tensor.h"

namespace normlab {

/// The distinct (position, row) pairs of a batch of features: what the layer multiplies once each,
/// however often they come.
struct FeaturePairs {
  int64_t batch = 0, positions = 0;
  std::vector<int64_t> rows;     ///< row of the table, pair by pair; those of a position together
  std::vector<int64_t> begins;   ///< [positions + 1]: first pair of each position
  std::vector<int32_t> pair_of;  ///< [batch, positions]: where each feature is among the pairs
  std::vector<int64_t> places;   ///< examples, pair by pair, in order
  std::vector<int64_t> ends;     ///< [pairs + 1]: where the examples of each pair begin
  int64_t size() const { return static_cast<int64_t>(rows.size()); }
};

/// Columns that are worked on together.
inline constexpr int64_t kColumnBlock = 128;

/// Calls body(position, begin, end) for every position and a block of columns, one after the other
/// within such a block: what is read again and again stays in the cache.
template <class Body>
void for_positions_and_columns(int64_t positions, int64_t width, int64_t cost, const Body& body) {
  const int64_t blocks = (width + kColumnBlock - 1) / kColumnBlock;
  parallel_for(blocks * positions, cost, [&](int64_t job) {
    const int64_t begin = job / positions * kColumnBlock;
    body(job % positions, begin, begin + kColumnBlock < width ? begin + kColumnBlock : width);
  });
}

/// Sums of rows of x [batch, width] over the examples of each pair, short runs of them in float32
/// and the runs in float64: sums[k] = sum over i in [ends[k], ends[k + 1]) of x[places[i]].
template <class T>
struct PairSums {
  const T* x = nullptr;
  int64_t width = 0;
  const int64_t *places = nullptr, *ends = nullptr;
  T* sums = nullptr;  ///< of pair 0, where it would lie
};

struct FeatureLinearKernels {
  /// z[i] = bias + sum over the positions of products[pair_of[i, position]], for `n` examples;
  /// bias may be null.
  void (*gather)(const float* products, const int32_t* pair_of, int64_t n, int64_t positions,
                 int64_t width, const float* bias, float* z);
  /// Pairs [first, last), columns [begin, end).
  void (*sum_pairs)(const PairSums<float>& p, int64_t first, int64_t last, int64_t begin,
                    int64_t end);
};
NORMLAB_KERNEL_TABLE(FeatureLinearKernels, feature_linear_kernels)

}  // namespace normlab
