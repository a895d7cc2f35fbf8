#include "models/parse/frozen.h"

#include "cpu/simd_tile.h"

namespace normlab::NORMLAB_ISA {
namespace {

void product(const float* a, const float* b, int64_t M, int64_t N, int64_t K, int64_t width,
             float* c) {
  tiled_product({a, K, 1}, {b, width}, M, N, K, c, width);
}

/// V vectors from column j on.
template <int V>
void sum_columns(const float* base, const float* const* rows, int64_t count, int64_t j, float* z) {
  vfloat sum[V];
  for (int v = 0; v < V; ++v) sum[v] = load(base + j + v * kLanes);
  for (int64_t i = 0; i < count; ++i)
    for (int v = 0; v < V; ++v) sum[v] += load(rows[i] + j + v * kLanes);
  for (int v = 0; v < V; ++v) store(z + j + v * kLanes, sum[v]);
}

void sum(const float* base, const float* const* rows, int64_t count, int64_t width, float* z) {
  constexpr int kVectors = 8;
  int64_t j = 0;
  for (; j + kVectors * kLanes <= width; j += kVectors * kLanes)
    sum_columns<kVectors>(base, rows, count, j, z);
  for (; j < width; j += kLanes) sum_columns<1>(base, rows, count, j, z);
}

}  // namespace

extern const FrozenKernels frozen_kernels = {product, sum};

}  // namespace normlab::NORMLAB_ISA
