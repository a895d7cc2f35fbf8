#include <algorithm>
#include <cstring>

#include "backend/simd_tile.h"
#include "ops/matmul.h"
#include "ops/shape.h"

namespace normlab::NORMLAB_ISA {

extern const ShapeKernels shape_kernels;  // those for the same instruction set

namespace {

/// op(B) with rows that whole vectors can be read from.
struct RightSide {
  const float* data;
  int64_t step;
};

void pack_turned(const float* b, int64_t K, int64_t N, float* packed, int64_t step) {
  int64_t j = 0;
  for (; j + kLanes <= N; j += kLanes) {
    int64_t k = 0;
    for (; k + kLanes <= K; k += kLanes)
      shape_kernels.transpose(b + j * K + k, K, packed + k * step + j, step);
    for (; k < K; ++k)
      for (int64_t i = j; i < j + kLanes; ++i) packed[k * step + i] = b[i * K + k];
  }
  for (; j < N; ++j)
    for (int64_t k = 0; k < K; ++k) packed[k * step + j] = b[j * K + k];
}

RightSide right_side(const MatrixProduct<float>& p, const float* b, float* packed) {
  if (!p.b_transposed && p.N % kLanes == 0) return {b, p.N};
  const int64_t step = (p.N + kLanes - 1) / kLanes * kLanes;
  if (p.b_transposed) {
    pack_turned(b, p.K, p.N, packed, step);
  } else {
    for (int64_t k = 0; k < p.K; ++k) std::copy_n(b + k * p.N, p.N, packed + k * step);
  }
  return {packed, step};
}

template <int V>
void tile(TileRows a, int64_t step, int64_t K, const float* b, int64_t b_step, float* c, int64_t N,
          int64_t rows, int64_t width) {
  vfloat acc[kTileRows][V] = {};
  tile_product<V>(
      a, step, K, [=](int64_t k) { return b + k * b_step; }, acc);
#pragma GCC unroll 8
  for (int r = 0; r < kTileRows; ++r)
    if (r < rows) store_tile_row<V>(c + r * N, acc[r], width);
}

void small(const MatrixProduct<float>& p, int64_t matrix) {
  alignas(64) float packed[kSmallRight];
  const float* a = p.a + matrix * p.a_step;
  float* c = p.c + matrix * p.M * p.N;
  const RightSide b = right_side(p, p.b + matrix * p.b_step, packed);
  const int64_t row = p.a_transposed ? 1 : p.K, step = p.a_transposed ? p.M : 1;
  for (int64_t j = 0; j < p.N; j += kTileWidth) {
    const int64_t width = std::min<int64_t>(kTileWidth, p.N - j);
    for (int64_t i = 0; i < p.M; i += kTileRows) {
      const int64_t rows = std::min<int64_t>(kTileRows, p.M - i);
      const float* left[kTileRows];
      for (int r = 0; r < kTileRows; ++r) left[r] = a + (i + std::min<int64_t>(r, rows - 1)) * row;
      with_vectors(width, [&]<int V>() {
        tile<V>(left, step, p.K, b.data + j, b.step, c + i * p.N + j, p.N, rows, width);
      });
    }
  }
}

}  // namespace

extern const MatmulKernels matmul_kernels = {small};

}  // namespace normlab::NORMLAB_ISA
