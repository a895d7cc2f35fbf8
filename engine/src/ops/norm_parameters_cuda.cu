#include "ops/norm_cuda.h"
#include "ops/norm_rows_cuda.h"

// The gradients of gain and bias: what the main kernels leave to a second stage. Everything is
// summed in a fixed order, so the same bits come out every time.

namespace normlab::cuda {
namespace {

/// So many elements are loaded, without a condition, before the first is used: a loop that is only
/// unrolled would wait for each. Behind the end the first is read again.
constexpr int kBatch = 4;

// --- over parts -------------------------------------------------------------------------------

constexpr int kPartThreads = 1024;

template <class A>
struct Parts {
  const A *partials, *alphas;
  int64_t parts, width, alpha_count;
  A *dgain, *dbias, *dalpha;
};

/// Columns blockIdx.x * blockDim.x + threadIdx.x of [parts, 2 * width], every blockDim.y-th part a
/// thread; the last block sums the alphas.
template <class A>
__global__ void __launch_bounds__(kPartThreads) sum_over_parts(Parts<A> a) {
  __shared__ A room[1][kPartThreads];
  const bool alphas = a.dalpha && blockIdx.x == gridDim.x - 1;
  const int64_t columns = 2 * a.width;
  const int64_t j = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  A sum[1] = {0};
  if (alphas) {
    for (int64_t i = threadIdx.y * blockDim.x + threadIdx.x; i < a.alpha_count; i += kPartThreads)
      sum[0] += a.alphas[i];
  } else if (j < columns) {
#pragma unroll 4
    for (int64_t part = threadIdx.y; part < a.parts; part += blockDim.y)
      sum[0] += a.partials[part * columns + j];
  }
  join_over_y(sum, room, [](A x, A y) { return x + y; });
  if (threadIdx.y > 0) return;
  if (alphas) {
    // One row of sums is left; a warp or less.
    A total = 0;
    if (threadIdx.x == 0)
      for (unsigned i = 0; i < blockDim.x; ++i) total += room[0][i];
    if (threadIdx.x == 0) a.dalpha[0] = total;
  } else if (j < a.width) {
    if (a.dgain) a.dgain[j] = sum[0];
  } else if (j < columns) {
    if (a.dbias) a.dbias[j - a.width] = sum[0];
  }
}

}  // namespace

template <class T>
Failure sum_parts(const NormProblem<T>& a, const accumulate_t<T>* partials, int64_t parts,
                  int64_t width, const accumulate_t<T>* alphas, int64_t n) {
  using A = accumulate_t<T>;
  const bool columns = a.dgain || a.dbias;
  // A warp reads neighbours; few columns leave more threads for the parts.
  unsigned x = 32;
  while (x > 1 && x / 2 >= 2 * width) x /= 2;
  const unsigned blocks = (columns ? blocks_for(2 * width, x) : 0) + (a.dalpha ? 1 : 0);
  if (blocks == 0) return nullptr;
  return launch(sum_over_parts<A>, blocks, dim3(x, kPartThreads / x),
                Parts<A>{partials, alphas, parts, width, n, a.dgain, a.dbias, a.dalpha});
}

// --- over segments of rows (groups of channels) -----------------------------------------------

namespace {

constexpr int kSegmentThreads = 256;

/// Sums of dz * y and dz over one segment a threadIdx.y. x is [outer, channels, segment]: segment i
/// belongs to channel i % channels, its sums go to partials [outer, 2, channels]. The last come
/// first: the main kernel has just read them.
template <class T>
__global__ void __launch_bounds__(kSegmentThreads)
    sums_of_segments(NormProblem<T> a, int64_t segments, int64_t channels) {
  using A = accumulate_t<T>;
  RowReducer<A, kBlock> reducer(room_for_sums<A, kBlock>());
  const int64_t i = segments - 1 - static_cast<int64_t>(blockIdx.x) * blockDim.y - threadIdx.y;
  const bool inside = i >= 0;
  const int64_t row = inside ? i / (a.H / a.segment) : 0;
  const RowStats<A> stats = kept_stats(a, row);
  const Clamp<A, true> clamp(a, row);
  A total[2] = {0, 0};
  if (inside) {
    const T *x = a.x + i * a.segment, *dz = a.dz + i * a.segment;
    const int64_t step = blockDim.x;
    for (int64_t first = threadIdx.x; first < a.segment; first += kBatch * step) {
      A y[kBatch], g[kBatch];
#pragma unroll
      for (int n = 0; n < kBatch; ++n) {
        const int64_t j = first + n * step, there = j < a.segment ? j : first;
        y[n] = static_cast<A>(x[there]);
        g[n] = static_cast<A>(dz[there]);
      }
      clamp.apply(y);
#pragma unroll
      for (int n = 0; n < kBatch; ++n) {
        if (first + n * step >= a.segment) continue;
        total[0] += g[n] * stats.normalized(y[n]);
        total[1] += g[n];
      }
    }
  }
  reducer.sum(total);
  if (!inside || threadIdx.x > 0) return;
  A* to = a.scratch + i / channels * 2 * channels + i % channels;
  to[0] = total[0];
  to[channels] = total[1];
}

}  // namespace

template <class T>
int64_t segment_scratch(const NormProblem<T>& a) {
  return a.rows * (a.H / a.segment) * 2;
}

template <class T>
Failure sum_segments(const NormProblem<T>& a) {
  const int64_t segments = a.rows * (a.H / a.segment), channels = a.groups * (a.H / a.segment);
  constexpr int64_t kForAWarp = 1024;
  const dim3 block = a.segment <= kForAWarp ? dim3(32, kSegmentThreads / 32) : kSegmentThreads;
  const Failure failure =
      launch(sums_of_segments<T>, blocks_for(segments, block.y), block, a, segments, channels);
  return failure ? failure : sum_parts(a, a.scratch, segments / channels, channels);
}

// --- over the columns of long rows ------------------------------------------------------------

namespace {

constexpr int kColumnThreads = 128;

/// One column a thread of x as [rows / groups, groups * H]; lines blockIdx.y and every gridDim.y
/// further. The last come first: the main kernel has just read them.
/// kGroups: groups > 1.
template <class T, bool kGroups>
__global__ void __launch_bounds__(kColumnThreads) sums_of_columns(NormProblem<T> a, int64_t lines) {
  using A = accumulate_t<T>;
  const int64_t groups = kGroups ? a.groups : 1, width = groups * a.H;
  const int64_t j = static_cast<int64_t>(blockIdx.x) * kColumnThreads + threadIdx.x;
  if (j >= width) return;
  const int64_t group = kGroups ? j / a.H : 0;
  A gain = 0, bias = 0;
  const int64_t step = gridDim.y;
  for (int64_t first = blockIdx.y; first < lines; first += kBatch * step) {
    A x[kBatch], g[kBatch];
    RowStats<A> stats[kBatch];
#pragma unroll
    for (int n = 0; n < kBatch; ++n) {
      const int64_t i = first + n * step, line = lines - 1 - (i < lines ? i : first);
      x[n] = static_cast<A>(a.x[line * width + j]);
      g[n] = static_cast<A>(a.dz[line * width + j]);
      stats[n] = kept_stats(a, line * groups + group);
    }
    // Each batch's sum first: a long sum of sums loses less than one of all rows.
    A batch_gain = 0, batch_bias = 0;
#pragma unroll
    for (int n = 0; n < kBatch; ++n) {
      const int64_t i = first + n * step;
      if (i >= lines) continue;
      A y[1] = {x[n]};
      Clamp<A, true>(a, (lines - 1 - i) * groups + group).apply(y);
      batch_gain += g[n] * stats[n].normalized(y[0]);
      batch_bias += g[n];
    }
    gain += batch_gain;
    bias += batch_bias;
  }
  A* to = a.scratch + int64_t{blockIdx.y} * 2 * width + j;
  to[0] = gain;
  to[width] = bias;
}

/// Enough parts to fill the multiprocessors with 16 blocks each.
template <class T>
int64_t column_parts(const NormProblem<T>& a) {
  const int64_t blocks = blocks_for(a.groups * a.H, kColumnThreads), lines = a.rows / a.groups,
                wanted = (int64_t{multiprocessors()} * 16 + blocks - 1) / blocks;
  return wanted < lines ? wanted : lines;
}

}  // namespace

template <class T>
int64_t column_scratch(const NormProblem<T>& a) {
  return column_parts(a) * 2 * a.groups * a.H;
}

template <class T>
Failure sum_long_columns(const NormProblem<T>& a) {
  const auto parts = static_cast<unsigned>(column_parts(a));
  const int64_t width = a.groups * a.H;
  const Failure failure =
      launch(a.groups > 1 ? sums_of_columns<T, true> : sums_of_columns<T, false>,
             dim3(blocks_for(width, kColumnThreads), parts), kColumnThreads, a, a.rows / a.groups);
  return failure ? failure : sum_parts(a, a.scratch, parts, width);
}

#define NORMLAB_INSTANTIATE(T)                                                                \
  template Failure sum_parts(const NormProblem<T>&, const accumulate_t<T>*, int64_t, int64_t, \
                             const accumulate_t<T>*, int64_t);                                \
  template int64_t segment_scratch(const NormProblem<T>&);                                    \
  template Failure sum_segments(const NormProblem<T>&);                                       \
  template int64_t column_scratch(const NormProblem<T>&);                                     \
  template Failure sum_long_columns(const NormProblem<T>&);
NORMLAB_FOR_NORM_TYPES(NORMLAB_INSTANTIATE)

}  // namespace normlab::cuda
