#include <cmath>

#include "cuda/row_reduce.h"
#include "cuda/value_check.h"
#include "ops/attention_tiles_cuda.h"

// Attention within packed sentences without a matrix of scores (Dao et al. 2022): a block has a few
// rows in shared memory, queries or keys, and lets the other side of their sentence pass by in
// tiles of 32, a lane for each. Forward keeps the greatest score so far and scales what it has
// when a greater one comes; backward finds the weights again from log_sum. dq and (dk, dv) are
// passes of their own, so that every result has one thread that adds it up, in order.

namespace normlab::cuda {
namespace {

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
__device__ void spoil(const AttentionArgs& a, const HeadRows<T>& of, int64_t first, int count) {
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
    const T most = static_cast<T>(fmax(max_of_lanes(score), greatest[r]));
    const T factor = most == greatest[r] ? T(1) : exp(greatest[r] - most);
    const T weight = score == -static_cast<T>(INFINITY) ? T(0) : exp(score - most);
    greatest[r] = most;
    total[r] = total[r] * factor + weight;
#pragma unroll
    for (int c = 0; c < C::kColumns; ++c) sums[r][c] *= factor;
    return weight;
  }
};

/// Lets the keys and values [begin, end) pass by the block's queries; `busy`: this warp's are among
/// them.
template <class S, int D, class T = compute_t<S>>
__device__ void attend(const AttentionArgs& a, const Room<T, D, 1>& room, int64_t begin,
                       int64_t end, bool busy, Softmax<T, D>& softmax) {
  using C = Cut<T, D>;
  const HeadRows<const S> k = part_of<const S>(a, a.qkv, kKey),
                          v = part_of<const S>(a, a.qkv, kValue);
  const T scale = static_cast<T>(a.scale);
  for (int64_t tile = begin; tile < end; tile += kTile) {
    const int64_t there = end - tile;
    load_tiles<T, D>(room.tile, k, room.partners, v, tile, end, a);
    if (busy) {
      T scores[C::kRows], *weights = room.my_scores(0);
      dot<T, D>(room.my_rows(0), room.tile, a.depth, scores);
#pragma unroll
      for (int r = 0; r < C::kRows; ++r)
        weights[r * kTile + lane()] =
            softmax.weight(r, lane() < there ? scores[r] * scale : -static_cast<T>(INFINITY));
      __syncwarp();
    }
    exchange_tile<T, D>(room.partners, v, tile, end, a);
    if (busy) add_weighted<T, D>(room.my_scores(0), room.partners, there, softmax.sums);
  }
}

template <class S, int D>
__global__ void __launch_bounds__(Cut<compute_t<S>, D>::kThreads)
    attention_forward(AttentionArgs a, Checker checker) {
  using T = compute_t<S>;
  using C = Cut<T, D>;
  const Room<T, D, 1> room;
  const HeadRows<S> z = head_of<S>(a, a.z);
  T* log_sum = static_cast<T*>(a.log_sum) + blockIdx.y * a.rows;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * C::kBlockRows;
  const int64_t mine = first + warp() * C::kRows;
  const int64_t sentence = sentence_of(a, first, checker);
  if (sentence < 0) return spoil(a, z, first, C::kBlockRows);
  load_rows<T, D>(room.rows, part_of<const S>(a, a.qkv, kQuery), first, a);
  // A tile of queries may reach over several sentences: each is a job of its own.
  for (int64_t s = sentence; s < a.sentences && a.offsets[s] < first + C::kBlockRows; ++s) {
    const int64_t begin = a.offsets[s], end = a.offsets[s + 1];
    const bool busy = mine < end && mine + C::kRows > begin;
    Softmax<T, D> softmax;
    attend<S, D>(a, room, begin, end, busy, softmax);
    if (!busy) continue;
#pragma unroll
    for (int r = 0; r < C::kRows; ++r) {
      const T total = sum_of_lanes(softmax.total[r]);
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
  sum = sum_of_lanes(sum);
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

/// Gradients of the warp's rows and of their partners, as far as they are summed.
template <class T, int D>
struct RowGradients {
  using C = Cut<T, D>;
  Query<T> queries[C::kRows];  ///< the rows, unless they are keys
  T drows[C::kRows][C::kColumns], dpartners[C::kRows][C::kColumns];
};

/// Weights and gradients of the scores of the warp's rows with the tile at `at`, a lane for each of
/// its rows.
template <int D, bool Keys, class T>
__device__ void find_dscores(const AttentionArgs& a, const Room<T, D, 2>& room,
                             const Query<T> (&queries)[Cut<T, D>::kRows], int64_t at, bool inside,
                             const T (&scores)[Cut<T, D>::kRows]) {
  using C = Cut<T, D>;
  const T scale = static_cast<T>(a.scale);
  T dweights[C::kRows], *weights = room.my_scores(0), *dscores = room.my_scores(1);
  dot<T, D>(room.my_rows(1), room.partners, a.depth, dweights);
  const Query<T> of_lane = query_at<T>(a, at + lane(), Keys && inside);
#pragma unroll
  for (int r = 0; r < C::kRows; ++r) {
    const Query<T> query = Keys ? of_lane : queries[r];
    const T weight = inside ? exp(scale * scores[r] - query.log_sum) : T(0);
    if (Keys) weights[r * kTile + lane()] = weight;
    dscores[r * kTile + lane()] = inside ? scale * weight * (dweights[r] - query.delta) : T(0);
  }
  __syncwarp();
}

/// Lets the other side [begin, end) pass by the block's rows.
template <class S, int D, bool Keys, class T = compute_t<S>>
__device__ void add_gradients(const AttentionArgs& a, const Room<T, D, 2>& room, int64_t begin,
                              int64_t end, bool busy, RowGradients<T, D>& sums) {
  using C = Cut<T, D>;
  const HeadRows<const S> passing = part_of<const S>(a, a.qkv, Keys ? kQuery : kKey),
                          partners =
                              Keys ? head_of<const S>(a, a.dz) : part_of<const S>(a, a.qkv, kValue);
  for (int64_t at = begin; at < end; at += kTile) {
    const int64_t there = end - at;
    load_tiles<T, D>(room.tile, passing, room.partners, partners, at, end, a);
    T scores[C::kRows];
    if (busy) dot<T, D>(room.my_rows(0), room.tile, a.depth, scores);
    exchange_tile<T, D>(room.partners, partners, at, end, a);
    if (busy) {
      find_dscores<D, Keys>(a, room, sums.queries, at, lane() < there, scores);
      if (Keys) add_weighted<T, D>(room.my_scores(0), room.partners, there, sums.dpartners);
    }
    exchange_tile<T, D>(room.tile, passing, at, end, a);
    if (busy) add_weighted<T, D>(room.my_scores(1), room.tile, there, sums.drows);
  }
}

/// The gradients of the block's rows: queries with their dz, which the keys and values pass by, or
/// (Keys) keys with their values, which the queries and dz pass by.
template <class S, int D, bool Keys>
__device__ void gradients_of_rows(const AttentionArgs& a, int64_t sentence) {
  using T = compute_t<S>;
  using C = Cut<T, D>;
  const Room<T, D, 2> room;
  const HeadRows<const S> dz = head_of<const S>(a, a.dz), v = part_of<const S>(a, a.qkv, kValue);
  const HeadRows<S> to = part_of<S>(a, a.dqkv, Keys ? kKey : kQuery),
                    to_partners = part_of<S>(a, a.dqkv, kValue);
  const int64_t first = static_cast<int64_t>(blockIdx.x) * C::kBlockRows;
  const int64_t mine = first + warp() * C::kRows;
  load_rows<T, D>(room.rows, part_of<const S>(a, a.qkv, Keys ? kKey : kQuery), first, a);
  load_rows<T, D>(room.rows + C::kBlockRows * D, Keys ? v : dz, first, a);
  for (int64_t s = sentence; s < a.sentences && a.offsets[s] < first + C::kBlockRows; ++s) {
    const int64_t begin = a.offsets[s], end = a.offsets[s + 1];
    const bool busy = mine < end && mine + C::kRows > begin;
    RowGradients<T, D> sums{};
#pragma unroll
    for (int r = 0; r < C::kRows; ++r)
      sums.queries[r] = query_at<T>(a, mine + r, !Keys && mine + r < a.rows);
    add_gradients<S, D, Keys>(a, room, begin, end, busy, sums);
#pragma unroll
    for (int r = 0; r < C::kRows; ++r) {
      if (mine + r < begin || mine + r >= end) continue;
      store<T, D>(sums.drows[r], T(1), to.at(mine + r), a.depth);
      if (Keys) store<T, D>(sums.dpartners[r], T(1), to_partners.at(mine + r), a.depth);
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
