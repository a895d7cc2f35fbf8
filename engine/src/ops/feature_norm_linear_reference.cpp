#include "ops/feature_norm_linear.h"

namespace normlab {
namespace {

void centre(const CentredRows<double>& p) {
  const double n = static_cast<double>(p.inner);
  for (int64_t k = 0; k < p.pairs; ++k) {
    const double* row = p.table + p.index[k] * p.inner;
    double mean = 0, squares = 0;
    for (int64_t e = 0; p.centred && e < p.inner; ++e) mean += row[e];
    mean /= n;
    for (int64_t e = 0; e < p.inner; ++e) {
      const int64_t at = k * p.inner + e;
      const double x = row[e] - mean;
      squares += x * x;
      p.less_mean[at] = x;
      p.scaled[at] = p.gain ? p.gain[e] * x : x;
      if (p.squares) p.squares[at] = -p.k * x * x;
    }
    p.mean[k] = mean;
    p.square_sum[k] = squares;
  }
}

void gather(const NormGather<double>& p, int64_t first, int64_t last) {
  for (int64_t i = first; i < last; ++i)
    for (int64_t j = 0; j < p.width; ++j) {
      const int64_t at = i * p.width + j;
      double y = p.via_offset[at], squares = p.adaptive ? p.via_square[at] : 0;
      for (int64_t position = 0; position < p.positions; ++position) {
        const int64_t feature = i * p.positions + position;
        const auto& place = p.places[position];
        const double* product = p.products + place.pairs + p.pair_of[feature] * p.width + j;
        y += *product;
        if (p.adaptive) squares += product[place.squares] - 2 * p.k * p.offset[feature] * *product;
      }
      y *= p.rstd[i];
      const double plain = p.adaptive ? p.C * (y + p.rstd[i] * p.rstd[i] * squares) : y;
      if (p.first) p.first[at] = y;
      if (p.plain) p.plain[at] = plain;
      p.z[at] = plain + p.constant[j];
    }
}

double dot(const double* a, const double* b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

void row_gradients(const RowGradients<double>& p) {
  for (int64_t k = 0; k < p.pairs; ++k)
    for (int64_t e = 0; e < p.inner; ++e) {
      const int64_t at = k * p.inner + e;
      const double x = p.less_mean[at];
      if (p.gain_sums) p.gain_sums[e] += x * p.back[at];
      if (!p.rows) continue;
      const double via_squares = p.back_squares ? p.k * x * p.back_squares[at] : 0;
      p.rows[at] = p.gain[e] * p.back[at] - via_squares - p.alpha[k] - p.beta[k] * x;
    }
}

}  // namespace

const FeatureNormKernels<double> feature_norm_reference = {centre, gather, dot, row_gradients};

}  // namespace normlab
