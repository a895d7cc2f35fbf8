#pragma once

#include "cuda/elements.h"
#include "ops/attention_cuda.h"

// Rows and tiles of attention_cuda.cu in shared memory, and their products.

namespace normlab::cuda {

inline constexpr int kTile = 32;

/// How heads of up to D elements are cut up, T being what they are computed in. Shared memory stays
/// below 99 KB, what every GPU has.
template <class T, int D>
struct Cut {
  static constexpr int kBytes = D * static_cast<int>(sizeof(T));
  static constexpr int kRows = sizeof(T) == 4 ? 8 : 4;  ///< of a warp
  static constexpr int kWarps = kBytes <= 512 ? 4 : kBytes <= 1024 ? 2 : 1;
  static constexpr int kThreads = 32 * kWarps;
  static constexpr int kBlockRows = kRows * kWarps;
  static constexpr bool kTwoTiles = kBytes <= 512;  ///< else both sides share one
  static constexpr int kVector = 16 / static_cast<int>(sizeof(T));
  static constexpr int kStride = D + kVector;  ///< of a tile: lanes meet no bank twice
  static constexpr int kColumns = D / 32;      ///< of a lane
  static constexpr int kTileSize = kTile * kStride;
  static constexpr int kScores = kBlockRows * kTile;
  /// For so many sets of rows and of scores.
  static constexpr size_t bytes(int sets) {
    const int tiles = kTwoTiles ? 2 : 1;
    return sizeof(T) * static_cast<size_t>(sets * (kBlockRows * D + kScores) + tiles * kTileSize);
  }
};

template <class T>
using Vector = Pack<T, 16 / static_cast<int>(sizeof(T))>;
template <class T>
__device__ Vector<T> vector_at(const T* at) {
  return *reinterpret_cast<const Vector<T>*>(at);
}

inline __device__ int lane() {
  return static_cast<int>(threadIdx.x) % 32;
}
inline __device__ int warp() {
  return static_cast<int>(threadIdx.x) / 32;
}

/// One head's rows somewhere in memory.
template <class T>
struct HeadRows {
  T* first;
  int64_t step;
  __device__ T* at(int64_t row) const { return first + row * step; }
};

/// Those of this block's head, `step` elements apart. `Void` is const where T is.
template <class T, class Void>
__device__ HeadRows<T> head_of(const AttentionArgs& a, Void* first, int64_t step) {
  return {static_cast<T*>(first) + blockIdx.y * a.depth, step};
}
/// The same of z and dz.
template <class T, class Void>
__device__ HeadRows<T> head_of(const AttentionArgs& a, Void* z) {
  return head_of<T>(a, z, a.heads * a.depth);
}

/// Copies `there` rows from `first` on into shared memory; zeros up to `count` rows of D elements.
template <class T, int D, class S>
__device__ void load(T* to, int stride, const HeadRows<const S>& from, int64_t first, int64_t there,
                     int count, int64_t depth) {
  for (int i = threadIdx.x; i < count * D; i += Cut<T, D>::kThreads) {
    const int row = i / D, d = i % D;
    to[row * stride + d] = row < there && d < depth ? widened(from.at(first + row)[d]) : T(0);
  }
}

template <class T, int D, class S>
__device__ void load_rows(T* to, const HeadRows<const S>& from, int64_t first, int64_t rows,
                          const AttentionArgs& a) {
  load<T, D>(to, D, from, first, rows - first, Cut<T, D>::kBlockRows, a.depth);
}
template <class T, int D, class S>
__device__ void load_tile(T* to, const HeadRows<const S>& from, int64_t first, int64_t end,
                          const AttentionArgs& a) {
  load<T, D>(to, Cut<T, D>::kStride, from, first, end - first, kTile, a.depth);
}

/// A block's shared memory: sets of rows, a tile of each side, and as many sets of scores.
template <class T, int D, int Sets>
struct Room {
  using C = Cut<T, D>;
  T* const rows = dynamic_shared<T>();
  T* const tile = rows + Sets * C::kBlockRows * D;
  T* const partners = C::kTwoTiles ? tile + C::kTileSize : tile;
  /// Those of this warp.
  __device__ T* my_rows(int set) const {
    return rows + (set * C::kBlockRows + warp() * C::kRows) * D;
  }
  __device__ T* my_scores(int set) const {
    return partners + C::kTileSize + set * C::kScores + warp() * C::kRows * kTile;
  }
};

/// A tile of each side; only the first where both share one memory.
template <class T, int D, class S>
__device__ void load_tiles(T* tile, const HeadRows<const S>& from, T* partners,
                           const HeadRows<const S>& from_partners, int64_t at, int64_t end,
                           const AttentionArgs& a) {
  __syncthreads();  // the last tiles have been read
  load_tile<T, D>(tile, from, at, end, a);
  if (Cut<T, D>::kTwoTiles) load_tile<T, D>(partners, from_partners, at, end, a);
  __syncthreads();
}
/// Where both share one memory: the other one in place of what lies there.
template <class T, int D, class S>
__device__ void exchange_tile(T* tile, const HeadRows<const S>& from, int64_t at, int64_t end,
                              const AttentionArgs& a) {
  if (Cut<T, D>::kTwoTiles) return;
  __syncthreads();
  load_tile<T, D>(tile, from, at, end, a);
  __syncthreads();
}

/// Dot products of the warp's rows with the lane's row of the tile.
template <class T, int D>
__device__ void dot(const T* rows, const T* tile, int64_t depth, T (&products)[Cut<T, D>::kRows]) {
  using C = Cut<T, D>;
  const T* mine = tile + lane() * C::kStride;
#pragma unroll
  for (int r = 0; r < C::kRows; ++r) products[r] = 0;
#pragma unroll 4
  for (int d = 0; d < depth; d += C::kVector) {
    const Vector<T> x = vector_at(mine + d);
#pragma unroll
    for (int r = 0; r < C::kRows; ++r) {
      const Vector<T> y = vector_at(rows + r * D + d);
#pragma unroll
      for (int v = 0; v < C::kVector; ++v) products[r] += x.of[v] * y.of[v];
    }
  }
}

/// sums[r] += the rows of the tile, weighted with the warp's scores [kRows, kTile].
template <class T, int D>
__device__ void add_weighted(const T* scores, const T* tile, int64_t rows,
                             T (&sums)[Cut<T, D>::kRows][Cut<T, D>::kColumns]) {
  using C = Cut<T, D>;
  for (int j = 0; j < kTile && j < rows; j += C::kVector) {
    Vector<T> weights[C::kRows];
#pragma unroll
    for (int r = 0; r < C::kRows; ++r) weights[r] = vector_at(scores + r * kTile + j);
#pragma unroll
    for (int v = 0; v < C::kVector; ++v)
#pragma unroll
      for (int c = 0; c < C::kColumns; ++c) {
        const T x = tile[(j + v) * C::kStride + 32 * c + lane()];
#pragma unroll
        for (int r = 0; r < C::kRows; ++r) sums[r][c] += weights[r].of[v] * x;
      }
  }
}

template <class T, int D, class S>
__device__ void store(const T (&sums)[Cut<T, D>::kColumns], T factor, S* to, int64_t depth) {
#pragma unroll
  for (int c = 0; c < Cut<T, D>::kColumns; ++c)
    if (32 * c + lane() < depth) to[32 * c + lane()] = static_cast<S>(sums[c] * factor);
}

}  // namespace normlab::cuda
