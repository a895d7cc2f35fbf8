#include <cmath>

#include "cuda/launch.h"
#include "cuda/value_check.h"
#include "ops/attention_cuda.h"

// Attention within packed sentences without a matrix of scores (Dao et al. 2022): a block has a few
// rows in shared memory, queries or keys, and lets the other side of their sentence pass by in
// tiles of 32, a lane for each. Forward keeps the greatest score so far and scales what it has
// when a greater one comes; backward finds the weights again from log_sum. dq and (dk, dv) are
// passes of their own, so that every result has one thread that adds it up, in order.

namespace normlab::cuda {
namespace {

constexpr int kTile = 32;
constexpr unsigned kAll = 0xffffffffu;

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
struct alignas(16) Vector {
  T of[16 / sizeof(T)];
};
template <class T>
__device__ Vector<T> vector_at(const T* at) {
  return *reinterpret_cast<const Vector<T>*>(at);
}

__device__ int lane() {
  return static_cast<int>(threadIdx.x) % 32;
}
__device__ int warp() {
  return static_cast<int>(threadIdx.x) / 32;
}

/// One head's rows somewhere in memory.
template <class T>
struct Rows {
  T* first;
  int64_t step;
  __device__ T* at(int64_t row) const { return first + row * step; }
};

enum Part { kQuery, kKey, kValue };

/// Those of this block's head. `Void` is const where T is.
template <class T, class Void>
__device__ Rows<T> part_of(const AttentionArgs& a, Void* qkv, Part part) {
  const int64_t size = a.heads * a.depth;
  return {static_cast<T*>(qkv) + part * size + blockIdx.y * a.depth, 3 * size};
}
template <class T, class Void>
__device__ Rows<T> head_of(const AttentionArgs& a, Void* z) {
  return {static_cast<T*>(z) + blockIdx.y * a.depth, a.heads * a.depth};
}

/// Copies `there` rows from `first` on into shared memory; zeros up to `count` rows of D elements.
template <class T, int D, class S>
__device__ void load(T* to, int stride, const Rows<const S>& from, int64_t first, int64_t there,
                     int count, int64_t depth) {
  for (int i = threadIdx.x; i < count * D; i += Cut<T, D>::kThreads) {
    const int row = i / D, d = i % D;
    to[row * stride + d] = row < there && d < depth ? widened(from.at(first + row)[d]) : T(0);
  }
}

template <class T, int D, class S>
__device__ void load_rows(T* to, const Rows<const S>& from, int64_t first, const AttentionArgs& a) {
  load<T, D>(to, D, from, first, a.rows - first, Cut<T, D>::kBlockRows, a.depth);
}
template <class T, int D, class S>
__device__ void load_tile(T* to, const Rows<const S>& from, int64_t first, int64_t end,
                          const AttentionArgs& a) {
  load<T, D>(to, Cut<T, D>::kStride, from, first, end - first, kTile, a.depth);
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

/// The sentence of a row; -1 for all threads of the block if the offsets are bad, which the first
/// block reports. Called once a kernel.
__device__ int64_t sentence_of(const AttentionArgs& a, int64_t row, const Checker& checker) {
  __shared__ int64_t found;
  const bool reports = blockIdx.x == 0 && blockIdx.y == 0 && blockIdx.z == 0;
  bool bad = false;
  for (int64_t i = threadIdx.x; i <= a.sentences; i += blockDim.x) {
    const int64_t at = a.offsets[i], next = i < a.sentences ? a.offsets[i + 1] : at;
    const bool wrong_begin = i == 0 && at != 0, wrong_end = i == a.sentences && at != a.rows;
    if (reports && wrong_begin) report(checker, FaultKind::offsets_begin, 0, at);
    if (reports && next < at) report(checker, FaultKind::offsets_fall, i + 1, next, at);
    if (reports && wrong_end) report(checker, FaultKind::offsets_end, i + 1, at);
    bad = bad || wrong_begin || wrong_end || next < at;
    if (at <= row && row < next) found = i;
  }
  return __syncthreads_or(bad) ? -1 : found;
}

/// NaN for what cannot be known.
template <class T>
__device__ void spoil(const AttentionArgs& a, const Rows<T>& of, int64_t first, int count) {
  for (int64_t i = threadIdx.x; i < count * a.depth; i += blockDim.x)
    if (first + i / a.depth < a.rows) of.at(first + i / a.depth)[i % a.depth] = static_cast<T>(NAN);
}

// --- forward ----------------------------------------------------------------------------------

/// What a warp has of its queries.
template <class T, int D>
struct Softmax {
  using C = Cut<T, D>;
  T greatest[C::kRows], total[C::kRows], sums[C::kRows][C::kColumns];

  __device__ Softmax() {
#pragma unroll
    for (int r = 0; r < C::kRows; ++r) {
      greatest[r] = -static_cast<T>(INFINITY);
      total[r] = 0;
#pragma unroll
      for (int c = 0; c < C::kColumns; ++c) sums[r][c] = 0;
    }
  }

  /// Of a row's scores with the tile's keys, one a lane, -infinity where there is none: weights.
  /// Totals are the lane's own until the end.
  __device__ T weight(int r, T score) {
    T most = score;
#pragma unroll
    for (int step = 16; step > 0; step /= 2)
      most = static_cast<T>(fmax(most, __shfl_xor_sync(kAll, most, step)));
    most = static_cast<T>(fmax(most, greatest[r]));
    const T factor = most == greatest[r] ? T(1) : exp(greatest[r] - most);
    const T weight = score == -static_cast<T>(INFINITY) ? T(0) : exp(score - most);
    greatest[r] = most;
    total[r] = total[r] * factor + weight;
#pragma unroll
    for (int c = 0; c < C::kColumns; ++c) sums[r][c] *= factor;
    return weight;
  }

  __device__ T total_of(int r) const {
    T sum = total[r];
#pragma unroll
    for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(kAll, sum, step);
    return sum;
  }
};

template <class S, int D>
__global__ void __launch_bounds__(Cut<compute_t<S>, D>::kThreads)
    attention_forward(AttentionArgs a, Checker checker) {
  using T = compute_t<S>;
  using C = Cut<T, D>;
  T* queries = dynamic_shared<T>();
  T* keys = queries + C::kBlockRows * D;
  T* values = C::kTwoTiles ? keys + C::kTileSize : keys;
  T* my_queries = queries + warp() * C::kRows * D;
  T* my_weights = values + C::kTileSize + warp() * C::kRows * kTile;
  const Rows<const S> q = part_of<const S>(a, a.qkv, kQuery), k = part_of<const S>(a, a.qkv, kKey),
                      v = part_of<const S>(a, a.qkv, kValue);
  const Rows<S> z = head_of<S>(a, a.z);
  T* log_sum = static_cast<T*>(a.log_sum) + blockIdx.y * a.rows;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * C::kBlockRows;
  const int64_t mine = first + warp() * C::kRows;
  const T scale = static_cast<T>(a.scale);
  const int64_t sentence = sentence_of(a, first, checker);
  if (sentence < 0) return spoil(a, z, first, C::kBlockRows);
  load_rows<T, D>(queries, q, first, a);
  // A tile of queries may reach over several sentences: each is a job of its own.
  for (int64_t s = sentence; s < a.sentences && a.offsets[s] < first + C::kBlockRows; ++s) {
    const int64_t begin = a.offsets[s], end = a.offsets[s + 1];
    const bool busy = mine < end && mine + C::kRows > begin;
    Softmax<T, D> softmax;
    for (int64_t tile = begin; tile < end; tile += kTile) {
      const int64_t there = end - tile;
      __syncthreads();  // the last tile has been read
      load_tile<T, D>(keys, k, tile, end, a);
      if (C::kTwoTiles) load_tile<T, D>(values, v, tile, end, a);
      __syncthreads();
      if (busy) {
        T scores[C::kRows];
        dot<T, D>(my_queries, keys, a.depth, scores);
#pragma unroll
        for (int r = 0; r < C::kRows; ++r)
          my_weights[r * kTile + lane()] =
              softmax.weight(r, lane() < there ? scores[r] * scale : -static_cast<T>(INFINITY));
        __syncwarp();
      }
      if (!C::kTwoTiles) {
        __syncthreads();
        load_tile<T, D>(values, v, tile, end, a);
        __syncthreads();
      }
      if (busy) add_weighted<T, D>(my_weights, values, there, softmax.sums);
    }
    if (!busy) continue;
#pragma unroll
    for (int r = 0; r < C::kRows; ++r) {
      const T total = softmax.total_of(r);
      const int64_t row = mine + r;
      if (row < begin || row >= end) continue;
      store<T, D>(softmax.sums[r], 1 / total, z.at(row), a.depth);
      if (lane() == 0) log_sum[row] = softmax.greatest[r] + log(total);
    }
  }
}

// --- backward ---------------------------------------------------------------------------------

constexpr int kDeltaWarps = 8;

/// delta = dz z of each row and head: what the softmax takes from the gradients of its scores. A
/// warp for each.
template <class S>
__global__ void __launch_bounds__(32 * kDeltaWarps) find_delta(AttentionArgs a) {
  using T = compute_t<S>;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kDeltaWarps + warp();
  if (row >= a.rows) return;
  const S *z = head_of<S>(a, a.z).at(row), *dz = head_of<const S>(a, a.dz).at(row);
  T sum = 0;
  for (int64_t d = lane(); d < a.depth; d += 32) sum += widened(z[d]) * widened(dz[d]);
#pragma unroll
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(kAll, sum, step);
  if (lane() == 0) static_cast<T*>(a.delta)[blockIdx.y * a.rows + row] = sum;
}

/// What backward knows of a query.
template <class T>
struct Query {
  T log_sum, delta;
};
template <class T>
__device__ Query<T> query_at(const AttentionArgs& a, int64_t row, bool there) {
  const int64_t at = blockIdx.y * a.rows + row;
  if (!there) return {0, 0};
  return {static_cast<const T*>(a.log_sum)[at], static_cast<const T*>(a.delta)[at]};
}

/// The gradients of the block's rows: of queries, which the keys and values pass by, or (Keys) of
/// keys and values, which the queries and dz pass by.
template <class S, int D, bool Keys>
__device__ void gradients_of_rows(const AttentionArgs& a, int64_t sentence) {
  using T = compute_t<S>;
  using C = Cut<T, D>;
  T* rows = dynamic_shared<T>();                                 // queries or keys
  T* partners = rows + C::kBlockRows * D;                        // their dz or values
  T* tile = partners + C::kBlockRows * D;                        // keys or queries
  T* tile_partners = C::kTwoTiles ? tile + C::kTileSize : tile;  // values or dz
  T* weights = tile_partners + C::kTileSize + warp() * C::kRows * kTile;
  T* dscores = weights + C::kScores;
  const int at_warp = warp() * C::kRows * D;
  const Rows<const S> q = part_of<const S>(a, a.qkv, kQuery), k = part_of<const S>(a, a.qkv, kKey),
                      v = part_of<const S>(a, a.qkv, kValue), dz = head_of<const S>(a, a.dz);
  const Rows<const S> passing = Keys ? q : k, passing_partners = Keys ? dz : v;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * C::kBlockRows;
  const int64_t mine = first + warp() * C::kRows;
  const T scale = static_cast<T>(a.scale);
  load_rows<T, D>(rows, Keys ? k : q, first, a);
  load_rows<T, D>(partners, Keys ? v : dz, first, a);
  Query<T> queries[C::kRows];  // the rows, unless they are keys
#pragma unroll
  for (int r = 0; r < C::kRows; ++r) queries[r] = query_at<T>(a, mine + r, mine + r < a.rows);
  for (int64_t s = sentence; s < a.sentences && a.offsets[s] < first + C::kBlockRows; ++s) {
    const int64_t begin = a.offsets[s], end = a.offsets[s + 1];
    const bool busy = mine < end && mine + C::kRows > begin;
    T drows[C::kRows][C::kColumns] = {}, dpartners[C::kRows][C::kColumns] = {};
    for (int64_t at = begin; at < end; at += kTile) {
      const int64_t there = end - at;
      const bool inside = lane() < there;
      __syncthreads();  // the last tile has been read
      load_tile<T, D>(tile, passing, at, end, a);
      if (C::kTwoTiles) load_tile<T, D>(tile_partners, passing_partners, at, end, a);
      __syncthreads();
      T scores[C::kRows], dweights[C::kRows];
      if (busy) dot<T, D>(rows + at_warp, tile, a.depth, scores);
      if (!C::kTwoTiles) {
        __syncthreads();
        load_tile<T, D>(tile_partners, passing_partners, at, end, a);
        __syncthreads();
      }
      if (busy) {
        dot<T, D>(partners + at_warp, tile_partners, a.depth, dweights);
        const Query<T> of_lane = query_at<T>(a, at + lane(), Keys && inside);
#pragma unroll
        for (int r = 0; r < C::kRows; ++r) {
          const Query<T> query = Keys ? of_lane : queries[r];
          const T weight = inside ? exp(scale * scores[r] - query.log_sum) : T(0);
          if (Keys) weights[r * kTile + lane()] = weight;
          dscores[r * kTile + lane()] =
              inside ? scale * weight * (dweights[r] - query.delta) : T(0);
        }
        __syncwarp();
        if (Keys) add_weighted<T, D>(weights, tile_partners, there, dpartners);
      }
      if (!C::kTwoTiles) {
        __syncthreads();
        load_tile<T, D>(tile, passing, at, end, a);
        __syncthreads();
      }
      if (busy) add_weighted<T, D>(dscores, tile, there, drows);
    }
    const Rows<S> to = part_of<S>(a, a.dqkv, Keys ? kKey : kQuery),
                  to_partners = part_of<S>(a, a.dqkv, kValue);
#pragma unroll
    for (int r = 0; r < C::kRows; ++r) {
      if (mine + r < begin || mine + r >= end) continue;
      store<T, D>(drows[r], T(1), to.at(mine + r), a.depth);
      if (Keys) store<T, D>(dpartners[r], T(1), to_partners.at(mine + r), a.depth);
    }
  }
}

/// blockIdx.z: 0 for queries, 1 for keys and values.
template <class S, int D>
__global__ void __launch_bounds__(Cut<compute_t<S>, D>::kThreads)
    attention_backward(AttentionArgs a, Checker checker) {
  using C = Cut<compute_t<S>, D>;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * C::kBlockRows;
  const int64_t sentence = sentence_of(a, first, checker);
  if (sentence < 0) {
    for (const Part part : {kQuery, kKey, kValue})
      spoil(a, part_of<S>(a, a.dqkv, part), first, C::kBlockRows);
    return;
  }
  if (blockIdx.z == 0)
    gradients_of_rows<S, D, false>(a, sentence);
  else
    gradients_of_rows<S, D, true>(a, sentence);
}

// --- launching --------------------------------------------------------------------------------

template <class S, int D>
Failure launch_forward(const AttentionArgs& a) {
  using C = Cut<compute_t<S>, D>;
  const dim3 grid(blocks_for(a.rows, C::kBlockRows), static_cast<unsigned>(a.heads));
  return launch_shared(C::bytes(1), attention_forward<S, D>, grid, C::kThreads, a,
                       checker_for(a.check));
}

template <class S, int D>
Failure launch_backward(const AttentionArgs& a) {
  using C = Cut<compute_t<S>, D>;
  static_assert(C::bytes(2) <= 99 << 10);
  const auto heads = static_cast<unsigned>(a.heads);
  const Failure failure =
      launch(find_delta<S>, dim3(blocks_for(a.rows, kDeltaWarps), heads), 32 * kDeltaWarps, a);
  if (failure) return failure;
  const dim3 grid(blocks_for(a.rows, C::kBlockRows), heads, 2);
  return launch_shared(C::bytes(2), attention_backward<S, D>, grid, C::kThreads, a,
                       checker_for(a.check));
}

/// Calls run<S, D>() with the least D that holds a head.
template <class Run>
Failure with_depth(const AttentionArgs& a, const Run& run) {
  if (a.rows == 0) return nullptr;
  if (a.heads > 65535) return "more than 65,535 heads";
  return for_stored(a.dtype, [&]<class S>() {
    if (a.depth <= 32) return run.template operator()<S, 32>();
    if (a.depth <= 64) return run.template operator()<S, 64>();
    if (a.depth <= 128) return run.template operator()<S, 128>();
    return run.template operator()<S, 256>();
  });
}

Failure forward(const AttentionArgs& a) {
  return with_depth(a, [&]<class S, int D>() { return launch_forward<S, D>(a); });
}
Failure backward(const AttentionArgs& a) {
  return with_depth(a, [&]<class S, int D>() { return launch_backward<S, D>(a); });
}

}  // namespace

const AttentionFunctions attention_functions = {.forward = forward, .backward = backward};

}  // namespace normlab::cuda
