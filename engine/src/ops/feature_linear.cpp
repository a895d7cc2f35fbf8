#include "ops/feature_linear.h"

#include <algorithm>
#include <memory>

#include "core/dispatch.h"
#include "cpu/parallel.h"
#include "normlab/ops.h"
#include "ops/elementwise.h"
#include "ops/indexing.h"
#include "ops/matmul.h"

namespace normlab {
namespace {

constexpr const char* kFeatureLinear = "feature_linear";

// --- pairs ------------------------------------------------------------------------------------

/// The pairs of one position, numbered from 0 in order of their first example.
struct PositionPairs {
  std::vector<int64_t> rows, counts;
};

/// Numbers the rows of column `position`; `seen` [V] is -1 everywhere, and is so again afterwards.
PositionPairs number_rows(const int32_t* features, int64_t batch, int64_t positions,
                          int64_t position, std::vector<int32_t>& seen, int32_t* pair_of) {
  PositionPairs pairs;
  for (int64_t i = 0; i < batch; ++i) {
    const int32_t row = features[i * positions + position];
    int32_t& number = seen[static_cast<size_t>(row)];
    if (number < 0) {
      number = static_cast<int32_t>(pairs.rows.size());
      pairs.rows.push_back(row);
      pairs.counts.push_back(0);
    }
    ++pairs.counts[static_cast<size_t>(number)];
    pair_of[i * positions + position] = number;
  }
  for (const int64_t row : pairs.rows) seen[static_cast<size_t>(row)] = -1;
  return pairs;
}

void check_rows(const int32_t* features, int64_t batch, int64_t positions, int64_t rows) {
  for (int64_t k = 0; k < batch * positions; ++k)
    check<RangeError>(0 <= features[k] && features[k] < rows, kFeatureLinear,
                      "features must be in [0, ", rows, "), got ", features[k], " at [",
                      k / positions, ", ", k % positions, "]");
}

// --- one product a pair -----------------------------------------------------------------------

struct Lengths {
  int64_t positions, inner, width;  // P, E, H
};

/// Calls body(position, first pair, pairs) for the positions that have any.
template <class Body>
void for_positions(const FeaturePairs& pairs, const Body& body) {
  for (int64_t p = 0; p < pairs.positions; ++p) {
    const int64_t begin = pairs.begins[static_cast<size_t>(p)],
                  end = pairs.begins[static_cast<size_t>(p + 1)];
    if (begin < end) body(p, begin, end - begin);
  }
}

/// x from that row of its first axis on.
Tensor rows_from(const Tensor& x, int64_t row) {
  return x.detach().slice(row, x.size(0));
}

/// products [pairs, H]: each pair's row times its position's weight.
Tensor products_of(const FeaturePairs& pairs, const Tensor& rows, const Tensor& weight,
                   const Lengths& n) {
  const Tensor products = Tensor::empty({pairs.size(), n.width}, rows.dtype());
  for_positions(pairs, [&](int64_t position, int64_t begin, int64_t count) {
    MatrixProduct p =
        product_of(rows_from(rows, begin), rows_from(weight, position), rows_from(products, begin));
    p.M = count;
    p.N = n.width;
    p.K = n.inner;
    multiply(kFeatureLinear, p);
  });
  return products;
}

void gather(const Tensor& products, const FeaturePairs& pairs, const float* bias, Tensor& z) {
  const int64_t width = z.size(1);
  parallel_blocks(pairs.batch, 16, pairs.positions * width / 8, [&](int64_t begin, int64_t end) {
    feature_linear_kernels_for_cpu().gather(
        products.data<float>(), pairs.pair_of.data() + begin * pairs.positions, end - begin,
        pairs.positions, width, bias, z.data<float>() + begin * width);
  });
}
void gather(const Tensor& products, const FeaturePairs& pairs, const double* bias, Tensor& z) {
  const int64_t width = z.size(1);
  for (int64_t i = 0; i < pairs.batch; ++i)
    for (int64_t j = 0; j < width; ++j) {
      double sum = bias ? bias[j] : 0;
      for (int64_t p = 0; p < pairs.positions; ++p)
        sum += products.data<double>()[pairs.pair_of[i * pairs.positions + p] * width + j];
      z.data<double>()[i * width + j] = sum;
    }
}

// --- backward ---------------------------------------------------------------------------------

void sum_pairs(const PairSums<float>& p, int64_t first, int64_t last, int64_t begin, int64_t end) {
  feature_linear_kernels_for_cpu().sum_pairs(p, first, last, begin, end);
}
void sum_pairs(const PairSums<double>& p, int64_t first, int64_t last, int64_t begin, int64_t end) {
  for (int64_t k = first; k < last; ++k)
    for (int64_t j = begin; j < end; ++j) {
      double sum = 0;
      for (int64_t i = p.ends[k]; i < p.ends[k + 1]; ++i) sum += p.x[p.places[i] * p.width + j];
      p.sums[k * p.width + j] = sum;
    }
}

/// [pairs, H]: the gradient of each pair's product, summed over its examples.
template <class T>
Tensor pair_gradients(const FeaturePairs& pairs, const Tensor& dz) {
  Tensor sums = Tensor::empty({pairs.size(), dz.size(1)}, dz.dtype());
  PairSums<T> p;
  p.x = dz.data<T>();
  p.width = dz.size(1);
  p.places = pairs.places.data();
  p.ends = pairs.ends.data();
  p.sums = sums.data<T>();
  for_positions_and_columns(pairs.positions, p.width, pairs.batch * 16,
                            [&](int64_t position, int64_t begin, int64_t end) {
                              const int64_t* pair = pairs.begins.data() + position;
                              sum_pairs(p, pair[0], pair[1], begin, end);
                            });
  return sums;
}

Tensor weight_gradient(const FeaturePairs& pairs, const Tensor& rows, const Tensor& sums,
                       const Lengths& n) {
  const Tensor dweight = Tensor::empty({n.positions, n.inner, n.width}, rows.dtype());
  for (int64_t position = 0; position < n.positions; ++position) {
    const int64_t begin = pairs.begins[static_cast<size_t>(position)];
    MatrixProduct p =
        product_of(rows_from(rows, begin), rows_from(sums, begin), rows_from(dweight, position));
    p.a_transposed = true;
    p.M = n.inner;
    p.N = n.width;
    p.K = pairs.begins[static_cast<size_t>(position + 1)] - begin;
    multiply(kFeatureLinear, p);
  }
  return dweight;
}

/// The gradient of the pairs' rows, [pairs, E].
Tensor row_gradients(const FeaturePairs& pairs, const Tensor& sums, const Tensor& weight,
                     const Lengths& n) {
  const Tensor drows = Tensor::empty({pairs.size(), n.inner}, sums.dtype());
  for_positions(pairs, [&](int64_t position, int64_t begin, int64_t count) {
    MatrixProduct p =
        product_of(rows_from(sums, begin), rows_from(weight, position), rows_from(drows, begin));
    p.b_transposed = true;
    p.M = count;
    p.N = n.inner;
    p.K = n.width;
    multiply(kFeatureLinear, p);
  });
  return drows;
}

// --- checks -----------------------------------------------------------------------------------

void check_inputs(const Tensor& table, const Tensor& features, const Tensor& weight,
                  const Tensor& bias) {
  check_same(kFeatureLinear, table, weight);
  check<DtypeError>(is_floating(table.dtype()), kFeatureLinear,
                    "table must be float32 or float64, got ", table.dtype());
  check<DtypeError>(features.dtype() == DType::int32, kFeatureLinear,
                    "features must be int32, got ", features.dtype());
  check<DeviceError>(features.device() == table.device(), kFeatureLinear, "features must be on ",
                     table.device(), " as table, are on ", features.device());
  check(table.rank() == 2, kFeatureLinear, "table must be [V, E], got ", table.shape());
  check(features.rank() == 2, kFeatureLinear, "features must be [N, P], got ", features.shape());
  check(weight.rank() == 3 && weight.size(0) == features.size(1) && weight.size(1) == table.size(1),
        kFeatureLinear, "weight must be [P, E, H] with P = ", features.size(1),
        " and E = ", table.size(1), ", got ", weight.shape());
  if (!bias) return;
  check_same(kFeatureLinear, table, bias);
  check(bias.shape() == Shape{weight.size(2)}, kFeatureLinear, "bias must be [", weight.size(2),
        "], got ", bias.shape());
}

/// RangeError naming place and row where a feature is not in [0, table_rows).
FeaturePairs feature_pairs(const Tensor& features, int64_t table_rows) {
  FeaturePairs pairs;
  const int64_t n = pairs.batch = features.size(0), positions = pairs.positions = features.size(1);
  const int32_t* rows = features.data<int32_t>();
  check_rows(rows, n, positions, table_rows);
  pairs.pair_of.resize(static_cast<size_t>(n * positions));
  std::vector<int32_t> seen(static_cast<size_t>(table_rows), -1);
  pairs.begins.push_back(0);
  pairs.ends.push_back(0);
  for (int64_t p = 0; p < positions; ++p) {
    const PositionPairs found = number_rows(rows, n, positions, p, seen, pairs.pair_of.data());
    pairs.rows.insert(pairs.rows.end(), found.rows.begin(), found.rows.end());
    for (const int64_t count : found.counts) pairs.ends.push_back(pairs.ends.back() + count);
    pairs.begins.push_back(pairs.size());
  }
  // Examples to their pairs, in order: a counting sort.
  pairs.places.resize(static_cast<size_t>(n * positions));
  std::vector<int64_t> next(pairs.ends.begin(), pairs.ends.end() - 1);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t p = 0; p < positions; ++p) {
      int32_t& pair = pairs.pair_of[static_cast<size_t>(i * positions + p)];
      pair += static_cast<int32_t>(pairs.begins[static_cast<size_t>(p)]);
      pairs.places[static_cast<size_t>(next[static_cast<size_t>(pair)]++)] = i;
    }
  return pairs;
}

// --- on the GPU -------------------------------------------------------------------------------

/// The rows that each example joins, [N, P E], are written out and multiplied as they are. One
/// large product suits the GPU better than finding equal pairs.
Tensor linear_of_joined_rows(const Tensor& table, const Tensor& features, const Tensor& weight,
                             const Tensor& bias) {
  const int64_t inner = features.size(1) * table.size(1);
  const Tensor rows = taken_on_gpu(kFeatureLinear, table, features, cuda::FaultKind::feature)
                          .reshape({features.size(0), inner});
  const Tensor z = matmul(rows, weight.reshape({inner, weight.size(2)}));
  return bias ? z + bias : z;
}

}  // namespace

Tensor feature_linear(const Tensor& table, const Tensor& features, const Tensor& weight,
                      const Tensor& bias) {
  check_inputs(table, features, weight, bias);
  if (table.device() == Device::cuda) return linear_of_joined_rows(table, features, weight, bias);
  const Lengths n = {weight.size(0), weight.size(1), weight.size(2)};
  const auto pairs = std::make_shared<const FeaturePairs>(feature_pairs(features, table.size(0)));
  const Tensor index = Tensor::of<int64_t>({pairs->size()}, std::span<const int64_t>(pairs->rows));
  return dispatch_floating(kFeatureLinear, table.dtype(), [&]<class T>() {
    const Tensor rows = take(table.detach(), index);
    Tensor z = Tensor::empty({pairs->batch, n.width}, table.dtype());
    gather(products_of(*pairs, rows, weight, n), *pairs,
           bias ? bias.data<T>() : static_cast<const T*>(nullptr), z);
    return record(
        kFeatureLinear, std::move(z), {table, weight, bias},
        [=, kept = Saved(weight), shape = table.shape()](const Tensor& dz, Needs needs) -> Grads {
          Grads grads(3);
          const Tensor sums = pair_gradients<T>(*pairs, dz);
          if (needs[0])
            grads[0] = summed_rows(row_gradients(*pairs, sums, kept.get(), n), index, shape);
          if (needs[1]) grads[1] = weight_gradient(*pairs, rows, sums, n);
          if (needs[2]) grads[2] = sum(dz, {0});
          return grads;
        });
  });
}

}  // namespace normlab
