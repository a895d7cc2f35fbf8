#include "ops/feature_norm_batch.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>

#include "core/dispatch.h"
#include "normlab/ops.h"
#include "ops/elementwise.h"
#include "ops/matmul.h"
#include "ops/norm.h"

namespace normlab {
namespace {

// --- checks -----------------------------------------------------------------------------------

void check_variant(const NormTraits& v) {
  if (splits_over_features(v)) return;
  std::string known;
  for (const NormTraits& other : kNormVariants)
    if (splits_over_features(other)) known += (known.empty() ? "" : ", ") + std::string(other.name);
  fail<ArgumentError>(kFeatureNorm, "variant '", v.name,
                      "' does not split over features; those that do are ", known);
}

void check_parameter(const char* name, bool taken, const Tensor& t, const Tensor& weight,
                     const NormTraits& v) {
  if (!t) return;
  check<ArgumentError>(taken, kFeatureNorm, "variant '", v.name, "' takes no ", name);
  check_same(kFeatureNorm, weight, t);
  const int64_t length = weight.size(0) * weight.size(1);
  check(t.shape() == Shape{length}, kFeatureNorm, name, " must be [", length, "] for weight ",
        weight.shape(), ", got ", t.shape(), " (variant '", v.name, "')");
}

void check_options(const Tensor& weight, const NormTraits& v, const NormOptions& o) {
  const bool affine = v.output == Output::affine;
  check_numbers(kFeatureNorm, v, o);
  check_parameter("gain", affine || v.output == Output::gain, o.gain, weight, v);
  check_parameter("bias", affine || v.output == Output::bias, o.bias, weight, v);
  check_parameter("alpha", false, o.alpha, weight, v);
  check_parameter("running_mean", false, o.running_mean, weight, v);
  check_parameter("running_var", false, o.running_var, weight, v);
  check(o.denominator == Denominator::var_eps || v.scale != Scale::std ||
            weight.size(0) * weight.size(1) != 1,
        kFeatureNorm,
        "denominator 'std_eps' divides by the unbiased deviation, which one element does not have; "
        "weight is ",
        weight.shape(), " (variant '", v.name, "')");
}

// --- one batch --------------------------------------------------------------------------------

template <class T>
std::vector<FeatureNormBlock> blocks_of(const FeatureNormBatch<T>& b) {
  const int64_t terms = b.adaptive() ? 2 : 1, sums = b.adaptive() ? 3 : 1,
                constants = b.has_norm_bias ? 2 : 1;
  std::vector<FeatureNormBlock> blocks;
  for (int64_t p = 0; p < b.positions; ++p) {
    FeatureNormBlock block;
    block.position = p;
    block.pair = b.pairs.begins[static_cast<size_t>(p)];
    block.pairs = b.pairs.begins[static_cast<size_t>(p + 1)] - block.pair;
    block.row = terms * block.pair + constants * p;
    block.rows = terms * block.pairs + constants;
    block.sum = sums * block.pair + constants * p;
    block.to_table = block.sum + (terms - 1) * block.pairs;
    block.gain = block.row + terms * block.pairs;
    block.norm_bias = block.gain + 1;
    blocks.push_back(block);
  }
  return blocks;
}

// --- statistics -------------------------------------------------------------------------------

/// Mean and squared deviations of each pair's row.
struct RowMoments {
  std::vector<double> mean, squares;
};

template <class T>
RowMoments centre_rows(FeatureNormBatch<T>& b, const Tensor& table, const NormOptions& o) {
  RowMoments moments;
  moments.mean.resize(static_cast<size_t>(b.pairs.size()));
  moments.squares.resize(static_cast<size_t>(b.pairs.size()));
  b.less_mean = Tensor::empty({b.pairs.size(), b.inner}, dtype_of<T>);
  b.rows = Tensor::empty({b.row_count, b.inner}, dtype_of<T>);
  T* rows = b.rows.template data<T>();
  T* less_mean = b.less_mean.template data<T>();
  parallel_for(b.positions, b.pairs.size() / b.positions * b.inner * 4, [&](int64_t position) {
    const FeatureNormBlock& block = b.blocks[static_cast<size_t>(position)];
    CentredRows<T> p;
    p.table = table.data<T>();
    p.index = b.pairs.rows.data() + block.pair;
    p.pairs = block.pairs;
    p.inner = b.inner;
    p.centred = b.centred();
    p.gain = o.gain ? o.gain.data<T>() + position * b.inner : nullptr;
    p.k = static_cast<T>(b.k);
    p.less_mean = less_mean + block.pair * b.inner;
    p.scaled = rows + block.row * b.inner;
    p.squares = b.adaptive() ? rows + block.squares() * b.inner : nullptr;
    p.mean = moments.mean.data() + block.pair;
    p.square_sum = moments.squares.data() + block.pair;
    feature_norm_kernels_for(T()).centre(p);
    T* gain = rows + block.gain * b.inner;
    for (int64_t e = 0; e < b.inner; ++e) gain[e] = p.gain ? p.gain[e] : T(1);
    if (b.has_norm_bias)
      std::copy_n(o.bias.data<T>() + position * b.inner, b.inner, rows + block.norm_bias * b.inner);
  });
  return moments;
}

/// Scale of an example whose squared deviations sum up to `squares`, as norm_reference.cpp has it.
template <class T>
void find_scale(FeatureNormBatch<T>& b, size_t example, double squares) {
  const double length = b.elements();
  const bool var_eps = b.denominator == Denominator::var_eps;
  const double n = b.centred() && !var_eps ? length - 1 : length;
  const double root = std::sqrt(squares / n);
  const double sigma = var_eps ? std::sqrt(squares / n + b.eps) : root + b.eps;
  b.rstd[example] = sigma == 0 ? 0 : 1 / sigma;  // equal elements and no eps: y = 0
  b.coef[example] = var_eps ? 1 / n : root > 0 ? sigma / (n * root) : 0;
}

/// Of the rows' moments those of the examples (Chan et al. 1979).
template <class T>
void find_stats(FeatureNormBatch<T>& b, const RowMoments& moments) {
  const int64_t batch = b.pairs.batch, positions = b.positions;
  b.offset = Tensor::empty({batch, positions}, dtype_of<T>);
  b.rstd_rounded = Tensor::empty({batch}, dtype_of<T>);
  b.rstd.resize(static_cast<size_t>(batch));
  b.coef.resize(static_cast<size_t>(batch));
  T* offsets = b.offset.template data<T>();
  T* rstd = b.rstd_rounded.template data<T>();
  parallel_blocks(batch, 64, positions * 8, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int32_t* pair = b.pairs.pair_of.data() + i * positions;
      double mean = 0, within = 0, between = 0;
      for (int64_t p = 0; p < positions; ++p) {
        mean += moments.mean[static_cast<size_t>(pair[p])];
        within += moments.squares[static_cast<size_t>(pair[p])];
      }
      mean /= static_cast<double>(positions);
      for (int64_t p = 0; p < positions; ++p) {
        const double offset = moments.mean[static_cast<size_t>(pair[p])] - mean;
        between += offset * offset;
        offsets[i * positions + p] = static_cast<T>(offset);
      }
      find_scale(b, static_cast<size_t>(i), within + static_cast<double>(b.inner) * between);
      rstd[i] = static_cast<T>(b.rstd[static_cast<size_t>(i)]);
    }
  });
}

// --- forward ----------------------------------------------------------------------------------

template <class T>
Tensor products_of(const FeatureNormBatch<T>& b, const Tensor& weight) {
  Tensor products = Tensor::empty({b.row_count, b.width}, dtype_of<T>);
  for (const FeatureNormBlock& block : b.blocks) {
    MatrixProduct p;
    p.dtype = dtype_of<T>;
    p.b = weight.data<T>() + block.position * b.inner * b.width;
    p.M = block.rows;
    p.a = b.rows.template data<T>() + block.row * b.inner;
    p.c = products.data<T>() + block.row * b.width;
    p.N = b.width;
    p.K = b.inner;
    multiply(kFeatureNorm, p);
  }
  return products;
}

/// bias + sum over the positions of row(block) of the products, [H].
template <class T, class Row>
Tensor sum_of_products(const FeatureNormBatch<T>& b, const Tensor& products, const Tensor& bias,
                       const Row& row) {
  std::vector<double> sums(static_cast<size_t>(b.width), 0.0);
  if (bias) std::copy_n(bias.data<T>(), b.width, sums.begin());
  for (const FeatureNormBlock& block : b.blocks) {
    const T* of_block = products.data<T>() + row(block) * b.width;
    for (size_t j = 0; j < sums.size(); ++j) sums[j] += of_block[j];
  }
  Tensor z = Tensor::empty({b.width}, dtype_of<T>);
  std::transform(sums.begin(), sums.end(), z.data<T>(),
                 [](double sum) { return static_cast<T>(sum); });
  return z;
}

/// NormGather's via_offset and, below it, via_square: [N, H] or [2 N, H].
template <class T>
Tensor through_offsets(const FeatureNormBatch<T>& b, const Tensor& products) {
  const int64_t batch = b.pairs.batch, count = b.offset.numel();
  Tensor sums = Tensor::empty({b.positions, b.width}, dtype_of<T>);
  for (const FeatureNormBlock& block : b.blocks)
    std::copy_n(products.data<T>() + block.gain * b.width, b.width,
                sums.data<T>() + block.position * b.width);
  Tensor factors = b.offset;
  if (b.adaptive()) {
    factors = Tensor::empty({2 * batch, b.positions}, dtype_of<T>);
    const T k = static_cast<T>(b.k);
    const T* offset = b.offset.template data<T>();
    T* both = factors.data<T>();
    std::copy_n(offset, count, both);
    std::transform(offset, offset + count, both + count, [k](T r) { return -k * r * r; });
  }
  Tensor through = Tensor::empty({factors.size(0), b.width}, dtype_of<T>);
  MatrixProduct p;
  p.dtype = dtype_of<T>;
  p.a = factors.data<T>();
  p.b = sums.data<T>();
  p.c = through.data<T>();
  p.M = factors.size(0);
  p.N = b.width;
  p.K = b.positions;
  multiply(kFeatureNorm, p);
  return through;
}

template <class T>
Tensor constant_of(const FeatureNormBatch<T>& b, const Tensor& products, const Tensor& bias) {
  if (b.has_norm_bias)
    return sum_of_products(b, products, bias,
                           [](const FeatureNormBlock& block) { return block.norm_bias; });
  return bias ? bias.detach() : Tensor::zeros({b.width}, dtype_of<T>);
}

template <class T>
Tensor gather(FeatureNormBatch<T>& b, const Tensor& products, const Tensor& bias, bool keep) {
  const int64_t batch = b.pairs.batch;
  const Tensor constant = constant_of(b, products, bias), through = through_offsets(b, products);
  Tensor z = Tensor::empty({batch, b.width}, dtype_of<T>);
  std::vector<typename NormGather<T>::Place> places;
  for (const FeatureNormBlock& block : b.blocks)
    places.push_back({block.shift() * b.width, block.pairs * b.width});
  NormGather<T> p;
  p.products = products.data<T>();
  p.via_offset = through.data<T>();
  if (b.adaptive()) p.via_square = p.via_offset + batch * b.width;
  p.places = places.data();
  p.pair_of = b.pairs.pair_of.data();
  p.offset = b.offset.template data<T>();
  p.rstd = b.rstd_rounded.template data<T>();
  p.constant = constant.data<T>();
  p.positions = b.positions;
  p.width = b.width;
  p.adaptive = b.adaptive();
  p.C = static_cast<T>(b.C);
  p.k = static_cast<T>(b.k);
  p.z = z.data<T>();
  if (keep) {
    b.plain = Tensor::empty(z.shape(), dtype_of<T>);
    p.plain = b.plain.template data<T>();
    if (b.adaptive()) b.first = Tensor::empty(z.shape(), dtype_of<T>);
    if (b.adaptive()) p.first = b.first.template data<T>();
    b.weight_sum =
        sum_of_products(b, products, {}, [](const FeatureNormBlock& block) { return block.gain; });
  }
  parallel_blocks(batch, 16, b.positions * b.width / 8, [&](int64_t first, int64_t last) {
    feature_norm_kernels_for(T()).gather(p, first, last);
  });
  return z;
}

// --- the batch ---------------------------------------------------------------------------------

template <class T>
std::shared_ptr<FeatureNormBatch<T>> batch_of(const Tensor& table, const Tensor& features,
                                              const Tensor& weight, const NormTraits& variant,
                                              const NormOptions& o) {
  auto b = std::make_shared<FeatureNormBatch<T>>();
  b->traits = variant;
  b->eps = o.eps;
  b->C = o.C;
  b->k = o.k;
  b->denominator = o.denominator;
  b->has_norm_bias = o.bias.defined();
  b->positions = weight.size(0);
  b->inner = weight.size(1);
  b->width = weight.size(2);
  b->table = table.shape();
  b->pairs = feature_pairs(kFeatureNorm, features, table.size(0));
  b->blocks = blocks_of(*b);
  const FeatureNormBlock& last = b->blocks.back();
  b->row_count = last.row + last.rows;
  b->sum_count = last.to_table + last.rows;
  b->index = Tensor::of<int64_t>({b->pairs.size()}, std::span<const int64_t>(b->pairs.rows));
  find_stats(*b, centre_rows(*b, table, o));
  return b;
}

}  // namespace

bool splits_over_features(const NormTraits& v) {
  const bool scale = v.scale == Scale::none || v.scale == Scale::std || v.scale == Scale::rms;
  return v.group == Group::row && scale && !v.clamp && !v.scalar_gain &&
         v.output != Output::residual;
}

Tensor feature_norm_linear(const Tensor& table, const Tensor& features, const Tensor& weight,
                           const Tensor& bias, const NormTraits& variant,
                           const NormOptions& options) {
  check_variant(variant);
  check_feature_linear(kFeatureNorm, table, features, weight, bias);
  check_options(weight, variant, options);
  if (variant.scale == Scale::none || weight.size(0) * weight.size(1) == 0)
    return feature_linear(table, features, weight, bias);
  if (table.device() == Device::cuda)
    return joined_product(normalize(joined_rows(kFeatureNorm, table, features), variant, options),
                          weight, bias);
  return dispatch_floating(kFeatureNorm, table.dtype(), [&]<class T>() {
    const auto batch = batch_of<T>(table, features, weight, variant, options);
    const bool keep = needs_grad({table, weight, bias, options.gain, options.bias});
    const Tensor z = gather(*batch, products_of(*batch, weight), bias, keep);
    return record(kFeatureNorm, z, {table, weight, bias, options.gain, options.bias},
                  [batch = std::shared_ptr<const FeatureNormBatch<T>>(batch), kept = Saved(weight)](
                      const Tensor& dz, Needs needs) -> Grads {
                    return feature_norm_backward(*batch, kept, dz, needs);
                  });
  });
}

}  // namespace normlab
