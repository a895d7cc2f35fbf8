#include "ops/feature_linear.h"

#include "backend/simd_rows.h"

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
  vfloat sum = bias ? load_first(bias, count) : vfloat{};
  for (int64_t p = 0; p < positions; ++p) sum += load_first(products + pair[p] * width, count);
  store_first(z, sum, count);
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

}  // namespace

extern const FeatureLinearKernels feature_linear_kernels = {gather};

}  // namespace normlab::NORMLAB_ISA
