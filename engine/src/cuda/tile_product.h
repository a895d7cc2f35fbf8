#pragma once

#include "cuda/elements.h"

// Matrix products whose operands are computed on the way: convolutions without an im2col matrix,
// and what cuBLASLt does not take.
//
// A block of 16 x 16 threads makes a tile of Side x Side results, Side / 16 squared a thread.
// Slices along K go through shared memory, four elements of each operand a thread; the next ones
// are read while these are multiplied. Small tiles have deep slices: there are few blocks, then, to
// hide the time that reading takes.
//
// A Problem has
//   T                              float or double
//   M, N, K, matrices              the results are `matrices` times [M, N]
//   kAlongK                        whether neighbours of B in memory lie along K, not along N
//   Place place(k), advance(place) an index along K, kept in parts; advance goes kPlaceStep further
//   Row row(matrix, m), Column column(matrix, n)
//   T a(row, place), b(column, place)
//   Target target(matrix, n)       where a column of results goes
//   store(target, m, part, sum)

namespace normlab::cuda {

inline constexpr int kTileThreads = 256, kPlaceStep = 16, kDeepest = 32;

/// One thread's part of the two slices on their way to shared memory.
template <class Problem, int Side>
struct TileLoader {
  using T = typename Problem::T;
  static constexpr int kEach = Side / 16;  ///< results along a side
  static constexpr int kDepth = Side > 32 ? 16 : kDeepest;
  static constexpr int kLoads = kDepth * Side / kTileThreads;
  static constexpr int kPlaces = Problem::kAlongK ? 1 : kLoads;
  static constexpr int kColumns = Problem::kAlongK ? kLoads : 1;
  static constexpr int kPitch = Side + kEach;  ///< keeps the banks apart

  struct Slices {
    alignas(16) T a[kDepth][kPitch];
    alignas(16) T b[kDepth][kPitch];
  };

  const Problem& p;
  typename Problem::Row rows[kLoads];
  typename Problem::Column columns[kColumns];
  typename Problem::Place a_place, b_places[kPlaces];
  int64_t k, end;  ///< of the slice, of the part
  T a[kLoads], b[kLoads];

  // Of A, a thread reads column a_k of the slice; of B the same, or its own column of results.
  static __device__ int a_k() { return static_cast<int>(threadIdx.x) % kDepth; }
  static __device__ int a_m(int e) {
    return static_cast<int>(threadIdx.x) / kDepth + kTileThreads / kDepth * e;
  }
  static __device__ int b_k(int e) {
    return Problem::kAlongK ? a_k()
                            : static_cast<int>(threadIdx.x) / Side + kTileThreads / Side * e;
  }
  static __device__ int b_n(int e) {
    return Problem::kAlongK ? a_m(e) : static_cast<int>(threadIdx.x) % Side;
  }

  __device__ TileLoader(const Problem& p, int64_t matrix, int64_t m0, int64_t n0, int64_t begin,
                        int64_t end)
      : p(p), k(begin), end(end) {
#pragma unroll
    for (int e = 0; e < kLoads; ++e) rows[e] = p.row(matrix, m0 + a_m(e));
#pragma unroll
    for (int e = 0; e < kColumns; ++e) columns[e] = p.column(matrix, n0 + b_n(e));
    a_place = p.place(begin + a_k());
#pragma unroll
    for (int e = 0; e < kPlaces; ++e) b_places[e] = p.place(begin + b_k(e));
  }

  /// Reads the slice at k, zeros beyond its end.
  __device__ void fetch() {
    const bool a_inside = k + a_k() < end;
#pragma unroll
    for (int e = 0; e < kLoads; ++e) a[e] = a_inside ? p.a(rows[e], a_place) : T(0);
#pragma unroll
    for (int e = 0; e < kLoads; ++e) {
      const auto& column = columns[Problem::kAlongK ? e : 0];
      const auto& place = b_places[Problem::kAlongK ? 0 : e];
      b[e] = k + b_k(e) < end ? p.b(column, place) : T(0);
    }
  }
  __device__ void advance() {
    k += kDepth;
#pragma unroll
    for (int i = 0; i < kDepth / kPlaceStep; ++i) {
      p.advance(a_place);
#pragma unroll
      for (int e = 0; e < kPlaces; ++e) p.advance(b_places[e]);
    }
  }
  __device__ void store(Slices& to) const {
#pragma unroll
    for (int e = 0; e < kLoads; ++e) to.a[a_k()][a_m(e)] = a[e];
#pragma unroll
    for (int e = 0; e < kLoads; ++e) to.b[b_k(e)][b_n(e)] = b[e];
  }
};

/// sum += the product of two slices, for one thread's Each x Each results.
template <int Depth, class T, int Each, class Slices>
__device__ void multiply_slices(const Slices& slices, T (&sum)[Each][Each]) {
  using Side = Pack<T, Each>;
  const int row = static_cast<int>(threadIdx.x) / 16 * Each;
  const int column = static_cast<int>(threadIdx.x) % 16 * Each;
#pragma unroll
  for (int k = 0; k < Depth; ++k) {
    const Side a = *reinterpret_cast<const Side*>(&slices.a[k][row]);
    const Side b = *reinterpret_cast<const Side*>(&slices.b[k][column]);
#pragma unroll
    for (int i = 0; i < Each; ++i)
#pragma unroll
      for (int j = 0; j < Each; ++j) sum[i][j] += a.of[i] * b.of[j];
  }
}

/// Block x is a tile of a matrix, block y one of gridDim.y parts of K, each `length` long.
template <class Problem, int Side>
__global__ void __launch_bounds__(kTileThreads) multiply_tiles(Problem p, int64_t length) {
  using T = typename Problem::T;
  using Loader = TileLoader<Problem, Side>;
  constexpr int kEach = Loader::kEach, kDepth = Loader::kDepth, kSlicesPerSum = 256 / kDepth;
  __shared__ typename Loader::Slices slices;
  const int64_t down = (p.M + Side - 1) / Side, across = (p.N + Side - 1) / Side;
  const int64_t tile = blockIdx.x, matrix = divide(tile, down * across);
  const int64_t within = tile - matrix * down * across, right = divide(within, down);
  const int64_t m0 = (within - right * down) * Side, n0 = right * Side;
  const int64_t begin = blockIdx.y * length, end = begin + length < p.K ? begin + length : p.K;

  Loader loader(p, matrix, m0, n0, begin, end);
  T total[kEach][kEach] = {}, sum[kEach][kEach] = {};
  if (begin < end) loader.fetch();
  for (int64_t k = begin, slice = 1; k < end; k += kDepth, ++slice) {
    __syncthreads();  // the last slices have been read
    loader.store(slices);
    __syncthreads();
    loader.advance();
    if (k + kDepth < end) loader.fetch();
    multiply_slices<kDepth>(slices, sum);
    // Sums of sums lose less than one long sum.
    const bool full = slice % kSlicesPerSum == 0 || k + kDepth >= end;
#pragma unroll
    for (int i = 0; i < kEach * kEach; ++i) {
      if (!full) continue;
      total[i / kEach][i % kEach] += sum[i / kEach][i % kEach];
      sum[i / kEach][i % kEach] = 0;
    }
  }
  const int64_t m = m0 + threadIdx.x / 16 * kEach, n = n0 + threadIdx.x % 16 * kEach;
#pragma unroll
  for (int j = 0; j < kEach; ++j) {
    if (n + j >= p.N) continue;
    const auto target = p.target(matrix, n + j);
#pragma unroll
    for (int i = 0; i < kEach; ++i)
      if (m + i < p.M) p.store(target, m + i, blockIdx.y, total[i][j]);
  }
}

/// Tiles of that side for all results.
template <class Problem>
int64_t tiles_of(const Problem& p, int64_t side) {
  return p.matrices * ((p.M + side - 1) / side) * ((p.N + side - 1) / side);
}

/// Queues the product, K cut into parts.
template <class Problem>
Failure multiply_in_tiles(const Problem& p, int64_t parts) {
  constexpr int64_t kMostTiles = INT32_MAX;
  const bool large =
      p.M > 32 && p.N > 32 && tiles_of(p, 64) * parts >= 2 * int64_t{multiprocessors()};
  const int64_t tiles = tiles_of(p, large ? 64 : 32);
  if (tiles == 0) return nullptr;
  if (tiles > kMostTiles) return "the result has more tiles than a grid can have";
  const int64_t length = ((p.K + parts - 1) / parts + kDeepest - 1) / kDeepest * kDeepest;
  const dim3 grid(static_cast<unsigned>(tiles), static_cast<unsigned>(parts));
  return launch(large ? multiply_tiles<Problem, 64> : multiply_tiles<Problem, 32>, grid,
                kTileThreads, p, length);
}

}  // namespace normlab::cuda
