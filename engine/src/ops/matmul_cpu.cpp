#include <algorithm>
#include <cstring>
#include <type_traits>

#include "cpu/simd_sum_each.h"
#include "cpu/simd_tile.h"
#include "ops/matmul.h"
#include "ops/shape.h"

namespace normlab::NORMLAB_ISA {

extern const ShapeKernels shape_kernels;  // those for the same instruction set

namespace {

constexpr int kDots = 16;  ///< dot products that are summed at once: whole vectors

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

RightSide right_side(const MatrixProduct& p, const float* b, float* packed) {
  if (!p.b_transposed && p.N % kLanes == 0) return {b, p.N};
  const int64_t step = (p.N + kLanes - 1) / kLanes * kLanes;
  if (p.b_transposed) {
    pack_turned(b, p.K, p.N, packed, step);
  } else {
    for (int64_t k = 0; k < p.K; ++k) std::copy_n(b + k * p.N, p.N, packed + k * step);
  }
  return {packed, step};
}

void small(const MatrixProduct& p, int64_t matrix) {
  alignas(64) float packed[kSmallRight];
  const float* a = p.left<float>(matrix);
  const LeftSide left = p.a_transposed ? LeftSide{a, 1, p.M} : LeftSide{a, p.K, 1};
  tiled_product(left, right_side(p, p.right<float>(matrix), packed), p.M, p.N, p.K,
                p.result<float>(matrix), p.N);
}

// --- few rows ---------------------------------------------------------------------------------

/// Elements [R rows, C columns] of the result as dot products, `rows` and `columns` of which exist.
/// A dot product's order of addition is the same for any R and C.
template <int R, int C>
void dot_tile(const float* a, const float* b, int64_t K, float* c, int64_t c_step,
              int64_t columns) {
  static_assert(R * C <= kDots);
  const float* row[C];
  for (int j = 0; j < C; ++j) row[j] = b + (j < columns ? j : columns - 1) * K;
  vfloat acc[kDots] = {};
  const auto add = [&](int64_t k, auto count) __attribute__((always_inline)) {
    vfloat x[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) x[r] = load(a + r * K + k, count);
#pragma GCC unroll 8
    for (int j = 0; j < C; ++j) {
      const vfloat y = load(row[j] + k, count);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) acc[r * C + j] += x[r] * y;
    }
  };
  int64_t k = 0;
  for (; k + kLanes <= K; k += kLanes) add(k, std::integral_constant<int64_t, kLanes>());
  if (k < K) add(k, K - k);
  float sums[kDots];
  sum_each<kDots>(acc, sums);
  for (int r = 0; r < R; ++r)
    for (int64_t j = 0; j < columns && j < C; ++j) c[r * c_step + j] = sums[r * C + j];
}

/// R rows of a block, C columns at a time.
template <int R, int C>
void dot_rows(const MatrixProduct& p, const ResultBlock& block) {
  const float *a = p.left<float>(block), *b = p.right<float>(block);
  float* c = p.result<float>(block);
  for (int64_t j = 0; j < block.columns; j += C)
    dot_tile<R, C>(a, b + j * p.K, p.K, c + j, p.N, block.columns - j);
}

/// Columns whose part of the right side stays in the first cache while all rows meet it.
constexpr int64_t kDotColumns = 16;

void dots(const MatrixProduct& p, const ResultBlock& whole) {
  ResultBlock block = whole;
  for (int64_t j = 0; j < whole.columns; j += kDotColumns) {
    block.column = whole.column + j;
    block.columns = std::min(kDotColumns, whole.columns - j);
    for (int64_t i = 0; i < whole.rows; i += block.rows) {
      block.row = whole.row + i;
      block.rows = std::min<int64_t>(3, whole.rows - i);
      if (block.rows == 3)
        dot_rows<3, 4>(p, block);
      else if (block.rows == 2)
        dot_rows<2, 4>(p, block);
      else
        dot_rows<1, 8>(p, block);
    }
  }
}

}  // namespace

extern const MatmulKernels matmul_kernels = {small, dots};

}  // namespace normlab::NORMLAB_ISA
