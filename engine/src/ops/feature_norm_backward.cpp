#include <algorithm>

#include "normlab/ops.h"
#include "ops/feature_norm_batch.h"
#include "ops/indexing.h"
#include "ops/matmul.h"

namespace normlab {
namespace {

/// What the statistics take from the gradient of x, an example: via_mean + y via_scale / rstd.
struct StatTerms {
  std::vector<double> via_mean, via_scale;
};

template <class T>
StatTerms stat_terms(const FeatureNormBatch<T>& b, const Tensor& dz) {
  const int64_t batch = b.pairs.batch, width = b.width;
  StatTerms terms;
  terms.via_mean.assign(static_cast<size_t>(batch), 0);
  terms.via_scale.assign(static_cast<size_t>(batch), 0);
  const bool via_mean = b.centred() && b.traits.grad_mean, via_scale = b.traits.grad_scale;
  if (!via_mean && !via_scale) return terms;
  const auto dot = feature_norm_kernels_for(T()).dot;
  parallel_blocks(batch, 16, 3 * width, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto n = static_cast<size_t>(i);
      const T* row = dz.data<T>() + i * width;
      const double rstd = b.rstd[n];
      if (via_mean) {
        double sum_dy = dot(row, b.weight_sum.template data<T>(), width);
        if (b.adaptive())
          sum_dy = b.C * (sum_dy - b.k * dot(row, b.first.template data<T>() + i * width, width));
        terms.via_mean[n] = rstd * sum_dy / b.elements();
      }
      if (via_scale)
        terms.via_scale[n] =
            rstd * rstd * b.coef[n] * dot(row, b.plain.template data<T>() + i * width, width);
    }
  });
  return terms;
}

/// What a feature's example adds, as factors of dz: to the gradient of the products of its row and
/// of the row's squares, of the sum of the weight, and to what the row of the table gets.
struct Factors {
  double row, square, offset, table;
};

template <class T>
Factors factors_of(const FeatureNormBatch<T>& b, int64_t example, double offset) {
  const double rstd = b.rstd[static_cast<size_t>(example)], y = rstd * offset;
  if (!b.adaptive()) return {rstd, 0, y, rstd};
  return {b.C * rstd * (1 - 2 * b.k * y), b.C * rstd * rstd, b.C * y * (1 - b.k * y),
          b.C * rstd * (1 - b.k * y)};
}

/// Those of all features: offsets by example [N, P], the others pair by pair, as PairSums wants.
template <class T>
struct FactorLists {
  std::vector<T> row, square, table;
  Tensor offset;
};

template <class T>
FactorLists<T> factor_lists(const FeatureNormBatch<T>& b) {
  FactorLists<T> lists;
  const int64_t positions = b.positions;
  lists.row.resize(b.pairs.places.size());
  if (b.adaptive()) lists.square = lists.table = lists.row;
  lists.offset = Tensor::empty({b.pairs.batch, positions}, dtype_of<T>);
  T* offsets = lists.offset.template data<T>();
  const T* offset = b.offset.template data<T>();
  parallel_for(positions, b.pairs.batch * 8, [&](int64_t position) {
    const int64_t batch = b.pairs.batch;
    for (int64_t at = position * batch; at < (position + 1) * batch; ++at) {
      const auto i = static_cast<size_t>(at);
      const int64_t example = b.pairs.places[i], feature = example * positions + position;
      const Factors f = factors_of(b, example, offset[feature]);
      lists.row[i] = static_cast<T>(f.row);
      offsets[feature] = static_cast<T>(f.offset);
      if (!b.adaptive()) continue;
      lists.square[i] = static_cast<T>(f.square);
      lists.table[i] = static_cast<T>(f.table);
    }
  });
  return lists;
}

/// The sums over the examples of each pair, at their places in `sums`.
template <class T>
void sum_products(const FeatureNormBatch<T>& b, const FactorLists<T>& factors, const Tensor& dz,
                  bool for_weight, bool for_table, Tensor& sums) {
  PairSums<T> all;
  all.x = dz.data<T>();
  all.width = b.width;
  all.places = b.pairs.places.data();
  all.ends = b.pairs.ends.data();
  for_positions_and_columns(b.positions, b.width, b.pairs.batch * 16 * (b.adaptive() ? 3 : 1),
                            [&](int64_t position, int64_t begin, int64_t end) {
                              const FeatureNormBlock& block =
                                  b.blocks[static_cast<size_t>(position)];
                              PairSums<T> p = all;
                              p.terms = 0;
                              const auto add = [&](const std::vector<T>& weights, int64_t row) {
                                p.weights[p.terms] = weights.data();
                                p.sums[p.terms++] = sums.data<T>() + (row - block.pair) * b.width;
                              };
                              if (for_weight || !b.adaptive()) add(factors.row, block.sum);
                              if (b.adaptive()) add(factors.square, block.sum + block.pairs);
                              if (for_table && b.adaptive())
                                add(factors.table, block.to_table + block.rows - block.pairs);
                              sum_pairs(p, block.pair, block.pair + block.pairs, begin, end);
                            });
}

/// [P, H]: what the sum of each position's weight gets through the offsets.
template <class T>
Tensor offset_gradients(const FeatureNormBatch<T>& b, const Tensor& factors, const Tensor& dz) {
  Tensor sums = Tensor::empty({b.positions, b.width}, dtype_of<T>);
  MatrixProduct p;
  p.dtype = dtype_of<T>;
  p.a = factors.data<T>();
  p.b = dz.data<T>();
  p.c = sums.data<T>();
  p.a_transposed = true;
  p.M = b.positions;
  p.N = b.width;
  p.K = b.pairs.batch;
  multiply(kFeatureNorm, p);
  return sums;
}

/// Puts the gradients of the constant rows' products into `sums`: of the gain those through the
/// offsets, of the norm's bias the sum of dz.
template <class T>
void fill_constants(const FeatureNormBatch<T>& b, const Tensor& of_offsets, const Tensor& total,
                    Tensor& sums) {
  for (const FeatureNormBlock& block : b.blocks) {
    T* to = sums.data<T>() + (block.sum + block.gain - block.row) * b.width;
    std::copy_n(of_offsets.data<T>() + block.position * b.width, b.width, to);
    if (b.has_norm_bias) std::copy_n(total.data<T>(), b.width, to + b.width);
  }
}

template <class T>
Tensor weight_gradient(const FeatureNormBatch<T>& b, const Tensor& sums) {
  Tensor dweight = Tensor::empty({b.positions, b.inner, b.width}, dtype_of<T>);
  for (const FeatureNormBlock& block : b.blocks) {
    MatrixProduct p;
    p.dtype = dtype_of<T>;
    p.a = b.rows.template data<T>() + block.row * b.inner;
    p.b = sums.data<T>() + block.sum * b.width;
    p.c = dweight.data<T>() + block.position * b.inner * b.width;
    p.a_transposed = true;
    p.M = b.inner;
    p.N = b.width;
    p.K = block.rows;
    multiply(kFeatureNorm, p);
  }
  return dweight;
}

/// The sums times their position's weight, [row_count, E]: for adanorm those of the squares first,
/// at last those for the table.
template <class T>
Tensor back_through_weight(const FeatureNormBatch<T>& b, const Tensor& sums, const Tensor& weight) {
  Tensor back = Tensor::empty({b.row_count, b.inner}, dtype_of<T>);
  for (const FeatureNormBlock& block : b.blocks) {
    MatrixProduct p;
    p.dtype = dtype_of<T>;
    p.b = weight.data<T>() + block.position * b.inner * b.width;
    p.M = block.rows;
    p.a = sums.data<T>() + block.to_table * b.width;
    p.c = back.data<T>() + block.row * b.inner;
    p.b_transposed = true;
    p.N = b.inner;
    p.K = b.width;
    multiply(kFeatureNorm, p);
  }
  return back;
}

/// Sums over the examples of each pair of one position: of via_mean + offset via_scale, and of
/// via_scale.
template <class T>
void sum_terms(const FeatureNormBatch<T>& b, const FeatureNormBlock& block, const StatTerms& terms,
               T* alpha, T* beta) {
  const T* offset = b.offset.template data<T>() + block.position;
  for (int64_t k = block.pair; k < block.pair + block.pairs; ++k) {
    double mean = 0, scale = 0;
    for (int64_t i = b.pairs.ends[static_cast<size_t>(k)];
         i < b.pairs.ends[static_cast<size_t>(k + 1)]; ++i) {
      const int64_t example = b.pairs.places[static_cast<size_t>(i)];
      const double via_scale = terms.via_scale[static_cast<size_t>(example)];
      mean +=
          terms.via_mean[static_cast<size_t>(example)] + via_scale * offset[example * b.positions];
      scale += via_scale;
    }
    alpha[k] = static_cast<T>(mean);
    beta[k] = static_cast<T>(scale);
  }
}

struct RowGrads {
  Tensor rows, gain, norm_bias;
};

template <class T>
RowGrads row_gradients(const FeatureNormBatch<T>& b, const Tensor& back, const Tensor& dz,
                       Needs needs) {
  RowGrads grads;
  const StatTerms terms = needs[0] ? stat_terms(b, dz) : StatTerms();
  std::vector<T> alpha(static_cast<size_t>(b.pairs.size())), beta(alpha.size());
  if (needs[0]) grads.rows = Tensor::empty({b.pairs.size(), b.inner}, dtype_of<T>);
  if (needs[3]) grads.gain = Tensor::empty({b.positions * b.inner}, dtype_of<T>);
  if (needs[4]) grads.norm_bias = Tensor::empty({b.positions * b.inner}, dtype_of<T>);
  const int64_t cost = b.pairs.batch * 4 + b.pairs.size() / b.positions * b.inner * 4;
  parallel_for(b.positions, cost, [&](int64_t position) {
    const FeatureNormBlock& block = b.blocks[static_cast<size_t>(position)];
    const T* of_block = back.data<T>() + block.row * b.inner;
    const T* of_gain = of_block + (block.pairs) * b.inner;
    RowGradients<T> p;
    p.pairs = block.pairs;
    p.inner = b.inner;
    p.less_mean = b.less_mean.template data<T>() + block.pair * b.inner;
    p.back = b.adaptive() ? of_gain + b.inner : of_block;
    p.back_squares = b.adaptive() ? of_block : nullptr;
    p.gain = b.rows.template data<T>() + block.gain * b.inner;
    p.k = static_cast<T>(b.k);
    p.alpha = alpha.data() + block.pair;
    p.beta = beta.data() + block.pair;
    std::vector<double> gain_sums(needs[3] ? static_cast<size_t>(b.inner) : 0, 0.0);
    p.gain_sums = needs[3] ? gain_sums.data() : nullptr;
    if (needs[0]) p.rows = grads.rows.template data<T>() + block.pair * b.inner;
    if (needs[0]) sum_terms(b, block, terms, alpha.data(), beta.data());
    if (needs[0] || needs[3]) feature_norm_kernels_for(T()).row_gradients(p);
    for (int64_t e = 0; needs[3] && e < b.inner; ++e)
      grads.gain.template data<T>()[position * b.inner + e] =
          static_cast<T>(gain_sums[static_cast<size_t>(e)] + of_gain[e]);
    if (needs[4])
      std::copy_n(of_gain + b.inner, b.inner,
                  grads.norm_bias.template data<T>() + position * b.inner);
  });
  return grads;
}

}  // namespace

template <class T>
Grads feature_norm_backward(const FeatureNormBatch<T>& b, const Saved& weight, const Tensor& dz,
                            Needs needs) {
  Grads grads(5);
  const bool through = needs[0] || needs[3] || needs[4];
  const Tensor total =
      needs[2] || (b.has_norm_bias && (needs[1] || through)) ? sum(dz, {0}) : Tensor();
  if (needs[2]) grads[2] = total;
  if (!needs[1] && !through) return grads;
  Tensor sums = Tensor::empty({b.sum_count, b.width}, dtype_of<T>);
  const FactorLists<T> factors = factor_lists(b);
  sum_products(b, factors, dz, needs[1], through, sums);
  fill_constants(b,
                 needs[1] || needs[3] ? offset_gradients(b, factors.offset, dz)
                                      : Tensor::zeros({b.positions, b.width}, dtype_of<T>),
                 total, sums);
  if (needs[1]) grads[1] = weight_gradient(b, sums);
  if (!through) return grads;
  const RowGrads of_rows = row_gradients(b, back_through_weight(b, sums, weight.get()), dz, needs);
  if (needs[0]) grads[0] = summed_rows(of_rows.rows, b.index, b.table);
  if (needs[3]) grads[3] = of_rows.gain;
  if (needs[4]) grads[4] = of_rows.norm_bias;
  return grads;
}

template Grads feature_norm_backward(const FeatureNormBatch<float>&, const Saved&, const Tensor&,
                                     Needs);
template Grads feature_norm_backward(const FeatureNormBatch<double>&, const Saved&, const Tensor&,
                                     Needs);

}  // namespace normlab
