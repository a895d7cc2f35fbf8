#include "ops/norm_launch_cuda.h"

// All variants whose statistics are a row's, forward; see norm_cuda.cu.

namespace normlab::cuda {
namespace {

template <class T>
constexpr Limits kForward = {64 / sizeof(accumulate_t<T>), 1024};
/// For rows longer than half of that: a multiprocessor holds two blocks at once, not one.
template <class T>
constexpr Limits kForwardLong = {2 * kForward<T>.elements, kForward<T>.threads / 2};

/// Threads of a block of forward_rows at most, and its blocks that a multiprocessor must hold.
template <class T, int E, int kLanes>
constexpr int kForwardThreads = kLanes > 0                      ? 256
                                : E == kForwardLong<T>.elements ? kForwardLong<T>.threads
                                                                : kForward<T>.threads;
template <class T, int E>
constexpr int kForwardAtOnce = E == kForwardLong<T>.elements ? 2 : 1;

/// A row in memory; with `more`, x + more, rounded as it is stored.
template <class T>
struct RowInMemory {
  const T *x, *more;
  int H;
  __device__ accumulate_t<T> operator[](int j) const {
    using A = accumulate_t<T>;
    const A v = static_cast<A>(x[j]);
    return more ? static_cast<A>(static_cast<T>(v + static_cast<A>(more[j]))) : v;
  }
};

/// Mean and scale of a row that leaves NormRange, summed in double around its first element. Every
/// warp does all of it, so that none waits for another: such rows are rare. Not inlined: the usual
/// rows must not pay for it with registers.
template <int kLanes, bool kGeneral, class T, class A = accumulate_t<T>>
__device__ __attribute__((noinline)) FoundStats<A> careful_stats(RowInMemory<T> row,
                                                                 Clamp<A, kGeneral> clamp,
                                                                 NormDivisor divisor) {
  constexpr int kNeighbours = kLanes > 0 ? kLanes : 32;
  const int lane = static_cast<int>((threadIdx.y * blockDim.x + threadIdx.x) % 32),
            own = lane % kNeighbours;
  const unsigned neighbours = 0xffffffffu >> (32 - kNeighbours) << (lane - own);
  const auto at = [&](int j) {
    A v[1] = {row[j]};
    clamp.apply(v);
    return v[0];
  };
  const auto over_row = [&](const auto& term, const auto& join) {
    decltype(term(A(0))) total{};
    for (int j = own; j < row.H; j += kNeighbours) total = join(total, term(at(j)));
    for (int step = kNeighbours / 2; step > 0; step /= 2)
      total = join(total, __shfl_xor_sync(neighbours, total, step));
    return total;
  };
  const auto greatest = [](A a, A b) { return a > b ? a : b; };
  const auto sum = [](double a, double b) { return a + b; };
  const A first = divisor.centred ? at(0) : A(0);
  const A most = over_row([](A x) { return A(fabs(x)); }, greatest),
          spread = over_row([=](A x) { return A(fabs(x - first)); }, greatest);
  const A factor = static_cast<A>(divisor.factor_of<A>(most, spread));
  const auto scaled = [=](A x) { return static_cast<double>(x * factor); };
  double mean = 0, off = 0;
  if (divisor.centred) {
    mean = scaled(first) + over_row([=](A x) { return scaled(x) - scaled(first); }, sum) / row.H;
    off = over_row([=](A x) { return scaled(x) - mean; }, sum) / row.H;
  }
  const double squares =
      over_row([=](A x) { return (scaled(x) - mean) * (scaled(x) - mean); }, sum);
  return careful_stats_of(divisor, factor, mean, off, squares - off * off * row.H);
}

/// Mean and scale of a row, by all of its threads: the deviations are summed around the mean as
/// rounded, which also tells what rounding lost.
template <int kLanes, bool kGeneral, class T, class Part, class Reducer, class A = accumulate_t<T>>
__device__ FoundStats<A> find_stats(const NormProblem<T>& a, int64_t at, const Part& part,
                                    const Clamp<A, kGeneral>& clamp, Reducer& reducer) {
  const A H = static_cast<A>(a.H);
  A mean = 0;
  if (a.traits.centred()) {
    A total[1] = {0};
    part.each([&](int, auto& values) {
      clamp.apply(values[0]);
      for (const A x : values[0]) total[0] += x;
    });
    reducer.sum(total);
    mean = total[0] / H;
  }
  A total[2] = {0, 0};
  part.each([&](int, auto& values) {
    clamp.apply(values[0]);
    for (const A x : values[0]) {
      const A d = x - mean;
      total[0] += d;
      total[1] += d * d;
    }
  });
  reducer.sum(total);
  const A off = a.traits.centred() ? total[0] / H : A(0);
  bool right;
  const FoundStats<A> stats = stats_of(a, mean, off, total[1] - off * off * H, right);
  if (right) return stats;
  const RowInMemory<T> row{a.x + at, a.residual ? a.residual + at : nullptr, static_cast<int>(a.H)};
  return careful_stats<kLanes, kGeneral>(row, clamp, NormDivisor(a));
}

template <class T, int V, int E, int kLanes, bool kGeneral>
__global__ void __launch_bounds__(kForwardThreads<T, E, kLanes>, kForwardAtOnce<T, E>)
    forward_rows(NormProblem<T> a, Divider segment, int in_shared) {
  using A = accumulate_t<T>;
  RowReducer<A, kLanes> reducer(room_for_sums<A, kLanes>());
  const int64_t row = rows_of_block<kLanes>().first + threadIdx.y;
  const bool inside = row < a.rows;
  const int64_t at = inside ? row * a.H : 0;
  const int H = static_cast<int>(a.H);
  const BlockColumns columns = columns_of_block<V, kLanes>(H);
  RowPart<T, V, E, kLanes, 1, kGeneral> part(Strip<V, E, kLanes>(columns), inside ? H : 0,
                                             in_shared);
  if (a.residual)
    part.load_sum(a.x + at, a.residual + at, a.total + at);
  else
    part.template load<false>(0, a.x + at);
  const Clamp<A, kGeneral> clamp(a, inside ? row : 0);
  const FoundStats<A> stats = find_stats<kLanes, kGeneral>(a, at, part, clamp, reducer);
  if (!inside) return;
  if (threadIdx.x == 0 && columns.begin == 0) keep_found(a, row, stats);
  const ParameterPlace<kGeneral> place(a, row, segment);
  T* z = a.z + at;
  part.each([&](int column, auto& x) {
    A y[V], w[V], b[V];
#pragma unroll
    for (int k = 0; k < V; ++k) y[k] = x[0][k];
    clamp.apply(y);
    place.template load<V>(a.gain, column, A(1), w);
    place.template load<V>(a.bias, column, A(0), b);
#pragma unroll
    for (int k = 0; k < V; ++k) y[k] = stats.normalized(y[k]);
    adapt(a, y, w);
#pragma unroll
    for (int k = 0; k < V; ++k) y[k] = y[k] * w[k] + b[k];
    if (a.traits.output == Output::residual) {
#pragma unroll
      for (int k = 0; k < V; ++k) y[k] += x[0][k];
    }
    store_values<T, V>(z + column, y);
  });
}

// --- launching --------------------------------------------------------------------------------

/// The share of a row that a cluster's block has in forward.
template <class T>
constexpr Limits kForwardShare = sizeof(T) < sizeof(double) ? kForwardLong<T> : kForward<T>;

template <class T, int V>
Failure forward_in_clusters(const NormProblem<T>& a, unsigned blocks) {
  using A = accumulate_t<T>;
  constexpr Limits kLimits = kForwardShare<T>;
  constexpr int E = kLimits.elements;
  const unsigned threads = threads_for<E>(columns_each_of(a, blocks), kLimits.threads);
  return ClusterLaunch(room_in_dynamic<A, kCluster>, static_cast<unsigned>(a.rows), blocks,
                       threads)(forward_rows<T, V, E, kCluster, false>, a, segment_divider(0), 0);
}

template <class T, int V>
Failure forward(const NormProblem<T>& a) {
  constexpr Limits kLimits = kForward<T>;
  const unsigned blocks = blocks_for_row(a, kForwardShare<T>);
  if (blocks > 1) return forward_in_clusters<T, V>(a, blocks);
  const bool general = is_general(a, kLimits, a.H);
  const int in_shared = vectors_in_shared<T, V, 1>(a.H, kLimits);
  const auto run = [&]<int E, int kLanes, bool kGeneral>() {
    const unsigned R = kLanes > 0 ? kLanes : threads_for<E>(a.H, kForwardThreads<T, E, kBlock>);
    const dim3 block(R, rows_in_block(a.rows, R, 256));
    return launch_shared(sizeof(raw_t<T, V>) * R * static_cast<unsigned>(in_shared),
                         forward_rows<T, V, E, kLanes, kGeneral>, blocks_for(a.rows, block.y),
                         block, a, segment_divider(a.segment), in_shared);
  };
  if constexpr (sizeof(T) < sizeof(double))  // twice the doubles are more than 64 registers hold
    if (!general && a.H > kLimits.row() / 2)
      return run.template operator()<kForwardLong<T>.elements, kBlock, false>();
  return with_shape<T, kLimits.elements>(a.H, general, run);
}

}  // namespace

template <class T>
Failure rows_forward(const NormProblem<T>& a) {
  return with_vectors(a, [&]<int V>() { return forward<T, V>(a); });
}

#define NORMLAB_INSTANTIATE(T) template Failure rows_forward(const NormProblem<T>&);
NORMLAB_FOR_NORM_TYPES(NORMLAB_INSTANTIATE)

}  // namespace normlab::cuda
