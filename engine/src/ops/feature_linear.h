#pragma once

#include <cstdint>
#include <vector>

#include "backend/isa.h"

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

struct FeatureLinearKernels {
  /// z[i] = bias + sum over the positions of products[pair_of[i, position]], for `n` examples;
  /// bias may be null.
  void (*gather)(const float* products, const int32_t* pair_of, int64_t n, int64_t positions,
                 int64_t width, const float* bias, float* z);
};
NORMLAB_KERNEL_TABLE(FeatureLinearKernels, feature_linear_kernels)

}  // namespace normlab
