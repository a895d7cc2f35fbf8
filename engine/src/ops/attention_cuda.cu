#include <cmath>

#include "cuda/row_reduce.h"
#include "cuda/value_check.h"
#include "ops/attention_tiles_cuda.h"

// Attention within packed sentences without a matrix of scores (Dao et al. 2022): a block has a few
// rows in shared memory, queries or keys, and lets the other side of their sentence pass by in
// tiles of 32, a lane for each. Forward keeps the greatest score so far and scales what it has
// when a greater one comes; backward finds the weights again from log_sum. dq and (dk, dv) are
// passes of their own, so that every result has one thread that adds it up, in order. Tiles that
// the causal mask hides do not pass by.

namespace normlab::cuda {
namespace {

/// Reports what is wrong with offsets[i], of which there are sentences + 1; true if anything is.
__device__ bool check_offset(const int64_t* offsets, int64_t i, int64_t sentences, int64_t rows,
                             bool reports, const Checker& checker) {
  const int64_t at = offsets[i], next = i < sentences ? offsets[i + 1] : at;
  const bool wrong_begin = i == 0 && at != 0, wrong_end = i == sentences && at != rows;
  if (reports && wrong_begin) report(checker, FaultKind::offsets_begin, 0, at);
  if (reports && next < at) report(checker, FaultKind::offsets_fall, i + 1, next, at);
  if (reports && wrong_end) report(checker, FaultKind::offsets_end, i + 1, at);
  return wrong_begin || wrong_end || next < at;
}

/// The same of sentence s, whose queries may lack keys.
__device__ bool check_keys(const AttentionArgs& a, int64_t s, bool reports,
                           const Checker& checker) {
  const int64_t queries = a.offsets[s + 1] - a.offsets[s], keys = a.key_end[s] - a.key_begin[s];
  if (queries <= 0 || keys >= (a.causal ? queries : 1)) return false;
  if (reports)
    report(checker, keys > 0 ? FaultKind::too_few_keys : FaultKind::no_keys, s, keys, queries);
  return true;
}

/// The sentence of a row of queries or (Keys) keys; -1 for all threads of the block if the offsets
/// are bad, which the first block reports. Called once a kernel.
template <bool Keys>
__device__ int64_t sentence_of(const AttentionArgs& a, int64_t row, const Checker& checker) {
  __shared__ int64_t found;
  const bool reports = blockIdx.x == 0 && blockIdx.y == 0 && blockIdx.z == 0;
  Checker key_checker = checker;
  key_checker.check = a.key_check;
  bool bad = false;
  for (int64_t i = threadIdx.x; i <= a.sentences; i += blockDim.x) {
    bool wrong = check_offset(a.offsets, i, a.sentences, a.rows, reports, checker);
    if (a.checks_keys &&
        check_offset(a.key_begin, i, a.sentences, a.key_rows, reports, key_checker))
      wrong = true;
    if (a.checks_keys && !wrong && i < a.sentences) wrong = check_keys(a, i, reports, checker);
    bad = bad || wrong;
    if (i == a.sentences) continue;
    const int64_t begin = Keys ? a.key_begin[i] : a.offsets[i];
    if (begin <= row && row < (Keys ? a.key_end[i] : a.offsets[i + 1])) found = i;
  }
  return __syncthreads_or(bad) ? -1 : found;
}

/// NaN for what cannot be known.
template <class T>
__device__ void spoil(const AttentionArgs& a, const HeadRows<T>& of, int64_t first, int64_t rows,
                      int count) {
  for (int64_t i = threadIdx.x; i < count * a.depth; i += blockDim.x)
    if (first + i / a.depth < rows) of.at(first + i / a.depth)[i % a.depth] = static_cast<T>(NAN);
}

/// Rows [begin, end).
struct Range {
  int64_t begin, end;
  __device__ bool meets(int64_t first, int64_t count) const {
    return first < end && first + count > begin;
  }
};

/// A sentence's queries and keys, and which see which.
struct Sentence {
  Range queries, keys;
  bool causal;

  __device__ Sentence(const AttentionArgs& a, int64_t s)
      : queries{a.offsets[s], a.offsets[s + 1]},
        keys{a.key_begin[s], a.key_end[s]},
        causal(a.causal) {}
  /// Query `row` sees the keys up to row + shift().
  __device__ int64_t shift() const { return keys.end - queries.end; }
  __device__ bool sees(int64_t query, int64_t key) const {
    return !causal || key <= query + shift();
  }
  /// The keys that one of the queries [first, first + count) sees.
  __device__ Range keys_of(int64_t first, int64_t count) const {
    if (!causal) return keys;
    const int64_t last = min(first + count, queries.end) - 1;
    return {keys.begin, min(keys.end, last + shift() + 1)};
  }
  /// The queries that see one of the keys from `first` on.
  __device__ Range queries_of(int64_t first) const {
    if (!causal) return queries;
    return {max(queries.begin, max(first, keys.begin) - shift()), queries.end};
  }
};

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

/// Lets keys and values pass by the block's queries, of which this warp has those from `mine` on;
/// `busy`: some of them are in the sentence.
template <class S, int D, class T = compute_t<S>>
__device__ void attend(const AttentionArgs& a, const Room<T, D, 1>& room, const Sentence& sentence,
                       const Range& keys, int64_t mine, bool busy, Softmax<T, D>& softmax) {
  using C = Cut<T, D>;
  const HeadRows<const S> k = head_of<const S>(a, a.k, a.kv_step),
                          v = head_of<const S>(a, a.v, a.kv_step);
  const T scale = static_cast<T>(a.scale);
  for (int64_t tile = keys.begin; tile < keys.end; tile += kTile) {
    const int64_t there = keys.end - tile;
    load_tiles<T, D>(room.tile, k, room.partners, v, tile, keys.end, a);
    if (busy) {
      T scores[C::kRows], *weights = room.my_scores(0);
      dot<T, D>(room.my_rows(0), room.tile, a.depth, scores);
#pragma unroll
      for (int r = 0; r < C::kRows; ++r) {
        const bool seen = lane() < there && sentence.sees(mine + r, tile + lane());
        weights[r * kTile + lane()] =
            softmax.weight(r, seen ? scores[r] * scale : -static_cast<T>(INFINITY));
      }
      __syncwarp();
    }
    exchange_tile<T, D>(room.partners, v, tile, keys.end, a);
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
  const int64_t at = sentence_of<false>(a, first, checker);
  if (at < 0) return spoil(a, z, first, a.rows, C::kBlockRows);
  load_rows<T, D>(room.rows, head_of<const S>(a, a.q, a.q_step), first, a.rows, a);
  // A tile of queries may reach over several sentences: each is a job of its own.
  for (int64_t s = at; s < a.sentences && a.offsets[s] < first + C::kBlockRows; ++s) {
    const Sentence sentence(a, s);
    const bool busy = sentence.queries.meets(mine, C::kRows);
    Softmax<T, D> softmax;
    attend<S, D>(a, room, sentence, sentence.keys_of(first, C::kBlockRows), mine, busy, softmax);
    if (!busy) continue;
#pragma unroll
    for (int r = 0; r < C::kRows; ++r) {
      const T total = sum_of_lanes(softmax.total[r]);
      const int64_t row = mine + r;
      if (row < sentence.queries.begin || row >= sentence.queries.end) continue;
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

/// Weights and gradients of the scores of the warp's rows, from `mine` on, with the tile at `at`, a
/// lane for each of its rows.
template <int D, bool Keys, class T>
__device__ void find_dscores(const AttentionArgs& a, const Room<T, D, 2>& room,
                             const Sentence& sentence, const Query<T> (&queries)[Cut<T, D>::kRows],
                             int64_t mine, int64_t at, bool inside,
                             const T (&scores)[Cut<T, D>::kRows]) {
  using C = Cut<T, D>;
  const T scale = static_cast<T>(a.scale);
  T dweights[C::kRows], *weights = room.my_scores(0), *dscores = room.my_scores(1);
  dot<T, D>(room.my_rows(1), room.partners, a.depth, dweights);
  const Query<T> of_lane = query_at<T>(a, at + lane(), Keys && inside);
#pragma unroll
  for (int r = 0; r < C::kRows; ++r) {
    const Query<T> query = Keys ? of_lane : queries[r];
    const int64_t own = mine + r, passing = at + lane();
    const bool seen = inside && (Keys ? sentence.sees(passing, own) : sentence.sees(own, passing));
    const T weight = seen ? exp(scale * scores[r] - query.log_sum) : T(0);
    if (Keys) weights[r * kTile + lane()] = weight;
    dscores[r * kTile + lane()] = seen ? scale * weight * (dweights[r] - query.delta) : T(0);
  }
  __syncwarp();
}

/// Lets the other side pass by the block's rows.
template <class S, int D, bool Keys, class T = compute_t<S>>
__device__ void add_gradients(const AttentionArgs& a, const Room<T, D, 2>& room,
                              const Sentence& sentence, const Range& others, int64_t mine,
                              bool busy, RowGradients<T, D>& sums) {
  using C = Cut<T, D>;
  const HeadRows<const S> passing =
      Keys ? head_of<const S>(a, a.q, a.q_step) : head_of<const S>(a, a.k, a.kv_step);
  const HeadRows<const S> partners =
      Keys ? head_of<const S>(a, a.dz) : head_of<const S>(a, a.v, a.kv_step);
  for (int64_t at = others.begin; at < others.end; at += kTile) {
    const int64_t there = others.end - at;
    load_tiles<T, D>(room.tile, passing, room.partners, partners, at, others.end, a);
    T scores[C::kRows];
    if (busy) dot<T, D>(room.my_rows(0), room.tile, a.depth, scores);
    exchange_tile<T, D>(room.partners, partners, at, others.end, a);
    if (busy) {
      find_dscores<D, Keys>(a, room, sentence, sums.queries, mine, at, lane() < there, scores);
      if (Keys) add_weighted<T, D>(room.my_scores(0), room.partners, there, sums.dpartners);
    }
    exchange_tile<T, D>(room.tile, passing, at, others.end, a);
    if (busy) add_weighted<T, D>(room.my_scores(1), room.tile, there, sums.drows);
  }
}

/// The gradients of the block's rows from `first` on: queries with their dz, which the keys and
/// values pass by, or (Keys) keys with their values, which the queries and dz pass by. `at`: the
/// sentence of the first.
template <class S, int D, bool Keys>
__device__ void gradients_of_rows(const AttentionArgs& a, int64_t first, int64_t at) {
  using T = compute_t<S>;
  using C = Cut<T, D>;
  const Room<T, D, 2> room;
  const HeadRows<const S> dz = head_of<const S>(a, a.dz), v = head_of<const S>(a, a.v, a.kv_step);
  const HeadRows<S> to = Keys ? head_of<S>(a, a.dk, a.kv_step) : head_of<S>(a, a.dq, a.q_step),
                    to_partners = head_of<S>(a, a.dv, a.kv_step);
  const int64_t rows = Keys ? a.key_rows : a.rows, mine = first + warp() * C::kRows;
  load_rows<T, D>(room.rows,
                  Keys ? head_of<const S>(a, a.k, a.kv_step) : head_of<const S>(a, a.q, a.q_step),
                  first, rows, a);
  load_rows<T, D>(room.rows + C::kBlockRows * D, Keys ? v : dz, first, rows, a);
  const int64_t* begins = Keys ? a.key_begin : a.offsets;
  for (int64_t s = at; s < a.sentences && begins[s] < first + C::kBlockRows; ++s) {
    const Sentence sentence(a, s);
    const Range& own = Keys ? sentence.keys : sentence.queries;
    const bool busy = own.meets(mine, C::kRows);
    RowGradients<T, D> sums{};
#pragma unroll
    for (int r = 0; r < C::kRows; ++r)
      sums.queries[r] = query_at<T>(a, mine + r, !Keys && mine + r < a.rows);
    const Range others = Keys ? sentence.queries_of(first) : sentence.keys_of(first, C::kBlockRows);
    add_gradients<S, D, Keys>(a, room, sentence, others, mine, busy, sums);
#pragma unroll
    for (int r = 0; r < C::kRows; ++r) {
      if (mine + r < own.begin || mine + r >= own.end) continue;
      store<T, D>(sums.drows[r], T(1), to.at(mine + r), a.depth);
      if (Keys) store<T, D>(sums.dpartners[r], T(1), to_partners.at(mine + r), a.depth);
    }
  }
}

/// The block's rows of the gradient, NaN, if the offsets are bad.
template <class S, int D, bool Keys>
__device__ void gradients_or_spoilt(const AttentionArgs& a, const Checker& checker) {
  constexpr int kBlockRows = Cut<compute_t<S>, D>::kBlockRows;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kBlockRows;
  const int64_t rows = Keys ? a.key_rows : a.rows;
  if (first >= rows) return;
  const int64_t at = sentence_of<Keys>(a, first, checker);
  if (at >= 0) return gradients_of_rows<S, D, Keys>(a, first, at);
  if (!Keys) return spoil(a, head_of<S>(a, a.dq, a.q_step), first, rows, kBlockRows);
  spoil(a, head_of<S>(a, a.dk, a.kv_step), first, rows, kBlockRows);
  spoil(a, head_of<S>(a, a.dv, a.kv_step), first, rows, kBlockRows);
}

/// blockIdx.z: 0 for queries, 1 for keys and values.
template <class S, int D>
__global__ void __launch_bounds__(Cut<compute_t<S>, D>::kThreads)
    attention_backward(AttentionArgs a, Checker checker) {
  if (blockIdx.z == 0)
    gradients_or_spoilt<S, D, false>(a, checker);
  else
    gradients_or_spoilt<S, D, true>(a, checker);
}

// --- a cache ----------------------------------------------------------------------------------

/// A block for each row.
template <class S>
__global__ void append_rows(AppendArgs a) {
  const int64_t row = blockIdx.x;
  int64_t s = 0;
  while (s + 1 < a.sentences && a.offsets[s + 1] <= row) ++s;
  const S* from = static_cast<const S*>(a.kv) + row * a.step;
  S* to = static_cast<S*>(a.cache) + (a.to[s] + row - a.offsets[s]) * 2 * a.size;
  for (int64_t i = threadIdx.x; i < 2 * a.size; i += blockDim.x) to[i] = from[i];
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
  if (a.rows > 0) {
    const dim3 rows(blocks_for(a.rows, kDeltaWarps), heads);
    if (const Failure failure = launch(find_delta<S>, rows, 32 * kDeltaWarps, a)) return failure;
  }
  const int64_t rows = a.rows < a.key_rows ? a.key_rows : a.rows;
  const dim3 grid(blocks_for(rows, C::kBlockRows), heads, 2);
  return launch_shared(C::bytes(2), attention_backward<S, D>, grid, C::kThreads, a,
                       checker_for(a.check));
}

/// Calls run<S, D>() with the least D that holds a head.
template <class Run>
Failure with_depth(const AttentionArgs& a, const Run& run) {
  if (a.heads > 65535) return "more than 65,535 heads";
  return for_stored(a.dtype, [&]<class S>() {
    if (a.depth <= 32) return run.template operator()<S, 32>();
    if (a.depth <= 64) return run.template operator()<S, 64>();
    if (a.depth <= 128) return run.template operator()<S, 128>();
    return run.template operator()<S, 256>();
  });
}

Failure forward(const AttentionArgs& a) {
  if (a.rows == 0) return nullptr;
  return with_depth(a, [&]<class S, int D>() { return launch_forward<S, D>(a); });
}
Failure backward(const AttentionArgs& a) {
  if (a.rows == 0 && a.key_rows == 0) return nullptr;
  return with_depth(a, [&]<class S, int D>() { return launch_backward<S, D>(a); });
}

Failure append(const AppendArgs& a) {
  if (a.rows == 0) return nullptr;
  return for_stored(a.dtype, [&]<class S>() {
    return launch(append_rows<S>, dim3(blocks_for(a.rows, 1)), 256, a);
  });
}

}  // namespace

const AttentionFunctions attention_functions = {
    .forward = forward, .backward = backward, .append = append};

}  // namespace normlab::cuda
