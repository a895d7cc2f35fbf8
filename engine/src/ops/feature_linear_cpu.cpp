#include "ops/feature_linear.h"

#include "cpu/simd_rows.h"

namespace normlab::NORMLAB_ISA {
namespace {

/// V vectors of one example, from column j on.
template <int V>
void gather_columns(const float* products, const int32_t* pair, int64_t positions, int64_t width,
                    const float* bias, float* z) {
  vfloat sum[V] = {};
  if (bias)
    for (int v = 0; v < V; ++v) sum[v] = load(bias + v * kLanes);
  for (int64_t p = 0; p < positions; ++p) {
    const float* row = products + pair[p] * width;
    for (int v = 0; v < V; ++v) sum[v] += load(row + v * kLanes);
  }
  for (int v = 0; v < V; ++v) store(z + v * kLanes, sum[v]);
}

void gather_rest(const float* products, const int32_t* pair, int64_t positions, int64_t width,
                 const float* bias, float* z, int64_t count) {
  vfloat sum = bias ? load(bias, count) : vfloat{};
  for (int64_t p = 0; p < positions; ++p) sum += load(products + pair[p] * width, count);
  store(z, sum, count);
}

void gather(const float* products, const int32_t* pair_of, int64_t n, int64_t positions,
            int64_t width, const float* bias, float* z) {
  constexpr int kVectors = 8;
  for (int64_t i = 0; i < n; ++i) {
    const int32_t* pair = pair_of + i * positions;
    const auto at = [&](int64_t j) { return bias ? bias + j : nullptr; };
    int64_t j = 0;
    for (; j + kVectors * kLanes <= width; j += kVectors * kLanes)
      gather_columns<kVectors>(products + j, pair, positions, width, at(j), z + i * width + j);
    for (; j < width; j += kLanes)
      gather_rest(products + j, pair, positions, width, at(j), z + i * width + j,
                  width - j < kLanes ? width - j : kLanes);
  }
}

// --- sums over the examples of each pair --------------------------------------------------------

/// Rows that are summed in float32, before their sum is added in float64.
constexpr int64_t kRun = 16;

/// V vectors of a pair's sums, from column j on, with their first `count` lanes.
template <int V, class Count>
struct ColumnSums {
  const PairSums<float>& p;
  int64_t j;
  Count count;

  /// Adds the places [first, last).
  void add(int64_t first, int64_t last, vfloat (&sum)[V]) const {
    for (int64_t i = first; i < last; ++i) {
      const float* row = p.x + p.places[i] * p.width + j;
      for (int v = 0; v < V; ++v) sum[v] += load(row + v * kLanes, count);
    }
  }

  void few(int64_t pair) const {
    vfloat sum[V] = {};
    add(p.ends[pair], p.ends[pair + 1], sum);
    for (int v = 0; v < V; ++v) store(p.sums + pair * p.width + j + v * kLanes, sum[v], count);
  }

  void many(int64_t pair) const {
    double total[V * kLanes] = {};
    for (int64_t i = p.ends[pair], end = p.ends[pair + 1]; i < end; i += kRun) {
      vfloat sum[V] = {};
      add(i, i + kRun < end ? i + kRun : end, sum);
      float lanes[V * kLanes];
      for (int v = 0; v < V; ++v) store(lanes + v * kLanes, sum[v]);
      for (int l = 0; l < V * kLanes; ++l) total[l] += lanes[l];
    }
    for (int l = 0; l < (V == 1 ? static_cast<int>(count) : V * kLanes); ++l)
      p.sums[pair * p.width + j + l] = static_cast<float>(total[l]);
  }

  void operator()(int64_t pair) const {
    if (p.ends[pair + 1] - p.ends[pair] <= kRun)
      few(pair);
    else
      many(pair);
  }
};

void sum_pairs(const PairSums<float>& p, int64_t first, int64_t last, int64_t begin, int64_t end) {
  constexpr int kVectors = 8;  // as many sums as registers
  using Whole = std::integral_constant<int64_t, kLanes>;
  for (int64_t pair = first; pair < last; ++pair) {
    int64_t j = begin;
    for (; j + kVectors * kLanes <= end; j += kVectors * kLanes)
      ColumnSums<kVectors, Whole>{p, j, {}}(pair);
    for (; j + kLanes <= end; j += kLanes) ColumnSums<1, Whole>{p, j, {}}(pair);
    if (j < end) ColumnSums<1, int64_t>{p, j, end - j}(pair);
  }
}

}  // namespace

extern const FeatureLinearKernels feature_linear_kernels = {gather, sum_pairs};

}  // namespace normlab::NORMLAB_ISA
