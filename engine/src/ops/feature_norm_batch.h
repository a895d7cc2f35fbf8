#pragma once

#include "normlab/autograd.h"
#include "normlab/norm.h"
#include "ops/feature_norm_linear.h"

namespace normlab {

inline constexpr const char* kFeatureNorm = "feature_norm_linear";

/// One position's share of two arrays. `rows` [.., E], which meet its weight, are for each pair the
/// centred row times the gain, for adanorm then for each pair its squares, the gain, and the bias
/// of the norm if there is one. `sums` [.., H] are the gradients of the products of these rows,
/// for adanorm followed by what the rows of the table get instead of the first ones.
struct FeatureNormBlock {
  int64_t position = 0;
  int64_t pair = 0, pairs = 0;  ///< among all pairs
  int64_t row = 0, rows = 0;
  int64_t sum = 0, to_table = 0;  ///< in `sums`: first row, first one of those for the table
  int64_t squares() const { return row + pairs; }
  int64_t gain = 0, norm_bias = 0;  ///< in `rows`
  int64_t shift() const { return row - pair; }
};

/// What forward finds out and backward needs.
template <class T>
struct FeatureNormBatch {
  NormTraits traits;
  double eps = 0, C = 1, k = 0;
  Denominator denominator = Denominator::var_eps;
  bool has_norm_bias = false;
  int64_t positions = 0, inner = 0, width = 0;  // P, E, H
  Shape table;

  FeaturePairs pairs;
  std::vector<FeatureNormBlock> blocks;
  int64_t row_count = 0, sum_count = 0;
  Tensor index;                    ///< [pairs]: rows of the table
  Tensor less_mean;                ///< [pairs, E]: those rows, centred
  Tensor rows;                     ///< [row_count, E]
  Tensor offset;                   ///< [N, P]: mean of a row less that of its example
  std::vector<double> rstd, coef;  ///< [N]; see NormProblem
  Tensor rstd_rounded;             ///< [N]
  Tensor weight_sum;               ///< [H]: sum of gain * weight
  Tensor plain, first;             ///< [N, H]: see NormGather

  bool adaptive() const { return traits.output == Output::adaptive; }
  bool centred() const { return traits.scale == Scale::std; }
  double elements() const { return static_cast<double>(positions * inner); }
};

inline const FeatureNormKernels<float>& feature_norm_kernels_for(float) {
  return feature_norm_kernels_for_cpu();
}
inline const FeatureNormKernels<double>& feature_norm_kernels_for(double) {
  return feature_norm_reference;
}

/// Of table, weight, bias, gain and the norm's bias.
template <class T>
Grads feature_norm_backward(const FeatureNormBatch<T>& b, const Saved& weight, const Tensor& dz,
                            Needs needs);

}  // namespace normlab
