#include "ops/feature_norm_linear.h"

#include "cpu/simd_rows.h"

namespace normlab::NORMLAB_ISA {
namespace {

// --- rows -------------------------------------------------------------------------------------

void centre(const CentredRows<float>& p) {
  const double n = static_cast<double>(p.inner);
  for (int64_t k = 0; k < p.pairs; ++k) {
    const float* row = p.table + p.index[k] * p.inner;
    const auto of_row = [row](int64_t e, int64_t count) { return load(row + e, count); };
    const double mean = p.centred ? sum_over(p.inner, of_row) / n : 0;
    // In two steps: the rounded mean alone would be wrong where it is large.
    const float rounded = static_cast<float>(mean);
    const vfloat high = broadcast(rounded), low = broadcast(static_cast<float>(mean - rounded));
    float *less_mean = p.less_mean + k * p.inner, *scaled = p.scaled + k * p.inner;
    p.mean[k] = mean;
    p.square_sum[k] = sum_over(p.inner, [&](int64_t e, int64_t count) {
      const vfloat x = (load(row + e, count) - high) - low;
      store(less_mean + e, x, count);
      store(scaled + e, p.gain ? x * load(p.gain + e, count) : x, count);
      if (p.squares) store(p.squares + k * p.inner + e, x * x * -p.k, count);
      return x * x;
    });
  }
}

// --- forward ----------------------------------------------------------------------------------

/// V vectors of one example, from column j on, each with its first `count` lanes.
template <bool kAdaptive, int V, class Count>
void gather_columns(const NormGather<float>& p, int64_t i, int64_t j, Count count) {
  const int32_t* pair = p.pair_of + i * p.positions;
  vfloat y[V] = {}, squares[V] = {};
  for (int64_t position = 0; position < p.positions; ++position) {
    const auto& place = p.places[position];
    const float* product = p.products + place.pairs + pair[position] * p.width + j;
    const vfloat twice = broadcast(kAdaptive ? 2 * p.k * p.offset[i * p.positions + position] : 0);
    for (int v = 0; v < V; ++v) {
      const vfloat a = load(product + v * kLanes, count);
      y[v] += a;
      if constexpr (kAdaptive)
        squares[v] += load(product + place.squares + v * kLanes, count) - a * twice;
    }
  }
  const float rstd = p.rstd[i];
  for (int v = 0; v < V; ++v) {
    const int64_t column = j + v * kLanes, at = i * p.width + column;
    vfloat plain = (y[v] + load(p.via_offset + at, count)) * rstd;
    if (p.first) store(p.first + at, plain, count);
    if constexpr (kAdaptive) plain += (squares[v] + load(p.via_square + at, count)) * (rstd * rstd);
    if constexpr (kAdaptive) plain *= p.C;
    if (p.plain) store(p.plain + at, plain, count);
    store(p.z + at, plain + load(p.constant + column, count), count);
  }
}

template <bool kAdaptive>
void gather_rows(const NormGather<float>& p, int64_t first, int64_t last) {
  constexpr int kVectors = kAdaptive && kLanes < 16 ? 4 : 8;  // as many sums as registers
  constexpr std::integral_constant<int64_t, kLanes> kWhole;
  for (int64_t i = first; i < last; ++i) {
    int64_t j = 0;
    for (; j + kVectors * kLanes <= p.width; j += kVectors * kLanes)
      gather_columns<kAdaptive, kVectors>(p, i, j, kWhole);
    for (; j + kLanes <= p.width; j += kLanes) gather_columns<kAdaptive, 1>(p, i, j, kWhole);
    if (j < p.width) gather_columns<kAdaptive, 1>(p, i, j, p.width - j);
  }
}

void gather(const NormGather<float>& p, int64_t first, int64_t last) {
  if (p.adaptive)
    gather_rows<true>(p, first, last);
  else
    gather_rows<false>(p, first, last);
}

// --- backward ---------------------------------------------------------------------------------

double dot(const float* a, const float* b, int64_t n) {
  return sum_over(
      n, [=](int64_t i, int64_t count) { return load(a + i, count) * load(b + i, count); });
}

void row_gradients(const RowGradients<float>& p) {
  for (int64_t k = 0; k < p.pairs; ++k) {
    const float *x = p.less_mean + k * p.inner, *back = p.back + k * p.inner;
    if (p.gain_sums)
      for (int64_t e = 0; e < p.inner; ++e) p.gain_sums[e] += static_cast<double>(x[e]) * back[e];
    if (!p.rows) continue;
    each_vector(0, p.inner, [&](int64_t e, int64_t count) {
      const vfloat v = load(x + e, count);
      vfloat d = load(p.gain + e, count) * load(back + e, count) - p.alpha[k];
      if (p.back_squares) d -= v * p.k * load(p.back_squares + k * p.inner + e, count);
      store(p.rows + k * p.inner + e, d - v * p.beta[k], count);
    });
  }
}

}  // namespace

extern const FeatureNormKernels<float> feature_norm_kernels = {centre, gather, dot, row_gradients};

}  // namespace normlab::NORMLAB_ISA
