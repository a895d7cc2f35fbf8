#pragma once

#include "ops/feature_linear.h"

namespace normlab {

// How W y comes apart. Of example n, position p and element e: x = row - mean of the example is
// (row - the row's own mean m) + offset[n, p], where offset = m - mean. The first part belongs to
// the pair of position and row and is multiplied once; the offset meets the sum of the position's
// weight over e. Both are as exact as x itself, whatever the common mean of the rows.

/// Pairs [0, pairs) of one position: their rows of the table on the way to the products.
template <class T>
struct CentredRows {
  const T* table = nullptr;
  const int64_t* index = nullptr;  ///< [pairs]: rows of the table
  int64_t pairs = 0, inner = 0;
  bool centred = true;      ///< false: the mean stays (rms)
  const T* gain = nullptr;  ///< [inner]; null: 1
  T k = 0;
  T* less_mean = nullptr;                         ///< [pairs, inner]: row - m
  T* scaled = nullptr;                            ///< [pairs, inner]: times the gain
  T* squares = nullptr;                           ///< [pairs, inner]: -k (row - m)^2; or null
  double *mean = nullptr, *square_sum = nullptr;  ///< [pairs]: m, and sum of (row - m)^2
};

/// What makes z of the products of one batch.
template <class T>
struct NormGather {
  /// Of one position, as elements of `products`: its first pair's row, to be added to pair * width,
  /// and from a pair's row to that of its squares.
  struct Place {
    int64_t pairs, squares;
  };
  const T* products = nullptr;
  const Place* places = nullptr;     ///< [positions]
  const int32_t* pair_of = nullptr;  ///< [batch, positions]
  const T* offset = nullptr;         ///< [batch, positions]
  const T* rstd = nullptr;           ///< [batch]
  /// [batch, width]: sums over the positions of offset, and for adanorm of -k offset^2, times the
  /// sum of the position's weight.
  const T *via_offset = nullptr, *via_square = nullptr;
  const T* constant = nullptr;  ///< [width]
  int64_t positions = 0, width = 0;
  bool adaptive = false;
  T C = 1, k = 0;
  T* z = nullptr;      ///< [batch, width]
  T* plain = nullptr;  ///< z without the constant; null: not kept
  T* first = nullptr;  ///< adanorm's W y; null: not kept
};

/// From the gradients of the products to those of the rows, for one position.
template <class T>
struct RowGradients {
  int64_t pairs = 0, inner = 0;
  const T* less_mean = nullptr;     ///< [pairs, inner]
  const T* back = nullptr;          ///< [pairs, inner]: gradient of `scaled`
  const T* back_squares = nullptr;  ///< that of `squares`, one factor held constant; or null
  const T* gain = nullptr;          ///< [inner]
  T k = 0;
  const T *alpha = nullptr, *beta = nullptr;  ///< [pairs]: what the statistics take away
  T* rows = nullptr;                          ///< [pairs, inner]; null: not wanted
  double* gain_sums = nullptr;                ///< [inner], added to; null: not wanted
};

template <class T>
struct FeatureNormKernels {
  void (*centre)(const CentredRows<T>& p);
  /// Examples [first, last).
  void (*gather)(const NormGather<T>& p, int64_t first, int64_t last);
  double (*dot)(const T* a, const T* b, int64_t n);
  /// rows = gain back - k less_mean back_squares - alpha - beta less_mean.
  void (*row_gradients)(const RowGradients<T>& p);
};
NORMLAB_KERNEL_TABLE(FeatureNormKernels<float>, feature_norm_kernels)
/// The same in plain loops: the specification.
extern const FeatureNormKernels<double> feature_norm_reference;

}  // namespace normlab
