#pragma once

// The inner loop of matrix products, for *_cpu.cpp only.

#include "cpu/simd.h"

namespace normlab::NORMLAB_ISA {
namespace {  // NOLINT

/// Rows and vectors of a tile of the result: with its accumulators, a row of the right side and a
/// weight, the tile just fits the 32 or 16 registers.
inline constexpr int kTileRows = 5;
inline constexpr int kTileVectors = kLanes == 16 ? 4 : 2;
inline constexpr int kTileWidth = kTileVectors * kLanes;

using TileRows = const float* const (&)[kTileRows];

/// acc[r][v] += sum over k of a[r][k * step] * row(k)[v * kLanes ...]. The left side's numbers are
/// broadcast from where they are.
template <int V, class Row>
[[gnu::always_inline]] inline void tile_product(TileRows a, int64_t step, int64_t depth,
                                                const Row& row, vfloat (&acc)[kTileRows][V]) {
  for (int64_t k = 0; k < depth; ++k) {
    const float* b = row(k);
    vfloat bv[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) bv[v] = load(b + v * kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < kTileRows; ++r) {
      const float weight = a[r][k * step];
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) acc[r][v] += weight * bv[v];
    }
  }
}

/// Calls tile<V>() with the least V whose vectors hold `width` <= kTileWidth floats.
template <int V = 1, class Tile>
[[gnu::always_inline]] inline void with_vectors(int64_t width, const Tile& tile) {
  if constexpr (V == kTileVectors) {
    tile.template operator()<V>();
  } else {
    if (width <= V * kLanes) return tile.template operator()<V>();
    with_vectors<V + 1>(width, tile);
  }
}

/// Loads `width` floats into V vectors, the rest of which stays.
template <int V>
[[gnu::always_inline]] inline void load_tile_row(const float* from, vfloat (&row)[V],
                                                 int64_t width) {
#pragma GCC unroll 8
  for (int v = 0; v < V; ++v) {
    const int64_t left = width - v * kLanes;
    if (left >= kLanes)
      row[v] = load(from + v * kLanes);
    else if (left > 0)
      __builtin_memcpy(&row[v], from + v * kLanes, static_cast<size_t>(left) * sizeof(float));
  }
}

/// Stores the first `width` floats of V vectors.
template <int V>
[[gnu::always_inline]] inline void store_tile_row(float* to, const vfloat (&row)[V],
                                                  int64_t width) {
#pragma GCC unroll 8
  for (int v = 0; v < V; ++v) {
    const int64_t left = width - v * kLanes;
    if (left >= kLanes)
      store(to + v * kLanes, row[v]);
    else if (left > 0)
      __builtin_memcpy(to + v * kLanes, &row[v], static_cast<size_t>(left) * sizeof(float));
  }
}

/// A left side: element (i, k) is at data[i * row + k * step].
struct LeftSide {
  const float* data;
  int64_t row, step;
};
/// A right side, whose rows can be read in whole vectors.
struct RightSide {
  const float* data;
  int64_t step;
};

template <int V>
void product_tile(TileRows a, int64_t step, int64_t K, RightSide b, float* c, int64_t c_step,
                  int64_t rows, int64_t width, bool add) {
  vfloat acc[kTileRows][V] = {};
  if (add) {
#pragma GCC unroll 8
    for (int r = 0; r < kTileRows; ++r)
      if (r < rows) load_tile_row<V>(c + r * c_step, acc[r], width);
  }
  tile_product<V>(
      a, step, K, [=](int64_t k) { return b.data + k * b.step; }, acc);
#pragma GCC unroll 8
  for (int r = 0; r < kTileRows; ++r)
    if (r < rows) store_tile_row<V>(c + r * c_step, acc[r], width);
}

/// V vectors of a single row, summed in the same order as those of a tile.
template <int V>
void product_row(const float* a, int64_t step, int64_t K, RightSide b, float* c, int64_t width) {
  vfloat acc[V] = {};
  for (int64_t k = 0; k < K; ++k) {
    const float* row = b.data + k * b.step;
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) acc[v] += a[k * step] * load(row + v * kLanes);
  }
  store_tile_row<V>(c, acc, width);
}

/// tiled_product() of one row: wider tiles, and none of their rows in vain.
[[maybe_unused]] inline void row_product(const float* a, int64_t step, RightSide b, int64_t N,
                                         int64_t K, float* c) {
  constexpr int kWide = 8;
  int64_t j = 0;
  for (; j + kWide * kLanes <= N; j += kWide * kLanes)
    product_row<kWide>(a, step, K, {b.data + j, b.step}, c + j, kWide * kLanes);
  for (; j < N; j += kTileWidth) {
    const int64_t width = N - j < kTileWidth ? N - j : kTileWidth;
    with_vectors(width, [&]<int V>() {
      product_row<V>(a, step, K, {b.data + j, b.step}, c + j, width);
    });
  }
}

/// C [M, N] = A B, or C + A B; nothing behind the N-th column is written.
[[maybe_unused]] inline void tiled_product(LeftSide a, RightSide b, int64_t M, int64_t N, int64_t K,
                                           float* c, int64_t c_step, bool add = false) {
  if (M == 1 && !add) return row_product(a.data, a.step, b, N, K, c);
  for (int64_t j = 0; j < N; j += kTileWidth) {
    const int64_t width = N - j < kTileWidth ? N - j : kTileWidth;
    for (int64_t i = 0; i < M; i += kTileRows) {
      const int64_t rows = M - i < kTileRows ? M - i : kTileRows;
      const float* left[kTileRows];
      for (int r = 0; r < kTileRows; ++r)
        left[r] = a.data + (i + (r < rows ? r : rows - 1)) * a.row;
      with_vectors(width, [&]<int V>() {
        product_tile<V>(left, a.step, K, {b.data + j, b.step}, c + i * c_step + j, c_step, rows,
                        width, add);
      });
    }
  }
}

}  // namespace
}  // namespace normlab::NORMLAB_ISA
