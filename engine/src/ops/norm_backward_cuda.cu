#include <type_traits>

#include "ops/norm_launch_cuda.h"

// All variants whose statistics are a row's, backward; see norm_cuda.cu.

namespace normlab::cuda {
namespace {

/// Each row has one gain and one bias, and their gradients are wanted.
template <class T>
__host__ __device__ bool sums_rows(const NormProblem<T>& a) {
  return a.segment == a.H && (a.dgain || a.dbias);
}
/// Every column has its own gain and bias, and their gradients are wanted.
template <class T>
bool sums_columns(const NormProblem<T>& a) {
  return a.segment == 0 && (a.dgain || a.dbias);
}

/// The parts of one row's derivative.
template <class T, int V, bool kGeneral>
struct RowGradient {
  using A = accumulate_t<T>;
  const NormProblem<T>& a;
  RowStats<A> stats;
  Clamp<A, kGeneral> clamp;
  ParameterPlace<kGeneral> place;
  A rate;  ///< what multiplies all of dx: rstd, and a gain that the whole row shares

  /// Without x every y is 0: it multiplies nothing then, but must not be infinite.
  __device__ RowGradient(const NormProblem<T>& a, int64_t row, Divider segment, bool reads_x)
      : a(a),
        stats(kept_stats(a, row)),
        clamp(a, row),
        place(a, row, segment),
        rate(stats.rstd * (kGeneral && place.one_a_row && a.gain ? a.gain[place.first] : A(1))) {
    if (!reads_x) stats.mean = stats.shift = 0;
  }

  /// y, and its gradient per rate, from x and dz.
  __device__ void at(int column, const A (&values)[2][V], A (&y)[V], A (&dy)[V]) const {
    A w[V];
#pragma unroll
    for (int k = 0; k < V; ++k) y[k] = values[0][k];
    clamp.apply(y);
    place.template load<V>(kGeneral && place.one_a_row ? nullptr : a.gain, column, A(1), w);
#pragma unroll
    for (int k = 0; k < V; ++k) y[k] = stats.normalized(y[k]);
    adapt(a, y, w);
#pragma unroll
    for (int k = 0; k < V; ++k) dy[k] = values[1][k] * w[k];
  }

  /// dx where nothing is clamped, per unit of the row's factor.
  __device__ void dx(int column, const A (&values)[2][V], const StatGradients<A>& through,
                     A (&dx)[V]) const {
    A y[V];
    at(column, values, y, dx);
#pragma unroll
    for (int k = 0; k < V; ++k)
      dx[k] = rate * (dx[k] - through.via_mean - y[k] * through.via_scale);
  }
};

/// The clamped entries' gradients, summed for the two entries whose values they took.
template <int V, class Row, class Part, class Reducer, class A>
__device__ void sum_clamped(const Row& row, const Part& part, const StatGradients<A>& through,
                            Reducer& reducer, A (&to)[2]) {
  to[0] = to[1] = 0;
  part.each([&](int column, auto& values) {
    A dx[V];
    row.dx(column, values, through, dx);
#pragma unroll
    for (int k = 0; k < V; ++k) {
      if (row.clamp.above(values[0][k])) to[0] += dx[k];
      if (row.clamp.below(values[0][k])) to[1] += dx[k];
    }
  });
  reducer.sum(to);
}

/// Gives V entries of dx what clamping takes from them and adds to them.
template <int V, class Row, class A>
__device__ void route_clamped(const Row& row, const int32_t* extremes, int column, const A (&x)[V],
                              const A (&clamped)[2], A (&dx)[V]) {
#pragma unroll
  for (int k = 0; k < V; ++k) {
    if (row.clamp.above(x[k]) || row.clamp.below(x[k])) dx[k] = 0;
    if (column + k == extremes[0]) dx[k] += clamped[0];
    if (column + k == extremes[1]) dx[k] += clamped[1];
  }
}

/// Gradients of parameters that a whole row shares: summed by each threadIdx.y over its rows if all
/// rows share them, else left to sum_parts().
template <class T, class A = accumulate_t<T>>
struct SharedByRows {
  A gain = 0, bias = 0;

  __device__ void add(const NormProblem<T>& a, int64_t row, A sum, A sum_y) {
    if (a.groups == 1) {
      gain += sum_y;
      bias += sum;
    } else {
      A* to = a.scratch + row / a.groups * 2 * a.groups + row % a.groups;
      to[0] = sum_y;
      to[a.groups] = sum;
    }
  }
  __device__ void write(const NormProblem<T>& a) const {
    if (a.groups != 1) return;
    A* to = a.scratch + (static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y) * 2;
    to[0] = gain;
    to[1] = bias;
  }
};

struct NoSums {
  template <class Own>
  __device__ NoSums(const Own&, const BlockColumns&, const void*) {}
};

constexpr int kWarpRowThreads = 256;  ///< in a block where each warp has a row of its own
constexpr int kBackwardThreads = 512;
template <class T>
constexpr Limits kBackward = {sizeof(T) == sizeof(double) ? 8 : 32, kBackwardThreads};
/// Rows just longer than half of that would leave a multiprocessor one block of 9 warps: with half
/// the elements a thread it has twice the warps.
template <class T>
constexpr Limits kBackwardMiddle = {kBackward<T>.elements / 2, 640};

/// Threads of a block of backward_rows at most.
template <class T, int E, int kLanes>
constexpr int kBackwardThreadsOf = kLanes > 0                         ? kWarpRowThreads
                                   : E == kBackwardMiddle<T>.elements ? kBackwardMiddle<T>.threads
                                                                      : kBackwardThreads;

/// Blocks of backward_rows that a multiprocessor must hold at once: its 65,536 registers are shared
/// by so many.
template <class A, int E, int kLanes>
constexpr int kAtOnce = kLanes <= 0            ? 1
                        : E * sizeof(A) >= 128 ? 2
                        : E * sizeof(A) >= 64  ? 3
                        : E * sizeof(A) >= 32  ? 4
                                               : 5;

/// The row's x, unless nothing reads it, and dz. The parameters' gradients read those of general
/// rows once more.
template <bool kOnce, class T, class Part>
__device__ void load_row(const NormProblem<T>& a, int64_t row, bool reads_x, Part& part) {
  if (reads_x)
    part.template load<kOnce>(0, a.x + row * a.H);
  else
    part.leave_out(0);
  part.template load<kOnce>(1, a.dz + row * a.H);
}

/// This thread's sums of dy and dy * y, and, with kSums, those of the columns.
template <int V, bool kSums, class Row, class Part, class Sums, class A>
__device__ void sum_part(const Row& row, const Part& part, Sums& column_sums, A (&total)[2]) {
  part.each([&](int column, auto& values) {
    A y[V], dy[V];
    row.at(column, values, y, dy);
    if constexpr (kSums) column_sums.add(column, values[1], y);
#pragma unroll
    for (int k = 0; k < V; ++k) {
      total[0] += dy[k];
      total[1] += dy[k] * y[k];
    }
  });
}

/// dx of this thread's elements, from the row's sums.
template <int V, class T, class Row, class Part, class Reducer, class A>
__device__ void write_dx(const NormProblem<T>& a, int64_t at, const Row& row, const Part& part,
                         Reducer& reducer, const A (&total)[2]) {
  const StatGradients<A> through(a, row.stats.coef, total[0], total[1]);
  A clamped[2] = {0, 0};
  if (row.clamp.on()) sum_clamped<V>(row, part, through, reducer, clamped);
  T* dx = a.dx + at * a.H;
  part.each([&](int column, auto& values) {
    A out[V];
    row.dx(column, values, through, out);
    if (row.clamp.on()) route_clamped(row, a.extremes + 2 * at, column, values[0], clamped, out);
    scale_back(row.stats, out);
    store_values<T, V>(dx + column, out);
  });
}

/// Rows in turn. kSums: each column has parameters of its own whose gradients are wanted.
template <class T, int V, int E, int kLanes, bool kSums, bool kGeneral>
__global__ void __launch_bounds__(kBackwardThreadsOf<T, E, kLanes>,
                                  kAtOnce<accumulate_t<T>, E, kLanes>)
    backward_rows(NormProblem<T> a, Divider segment, int in_shared, bool reads_x) {
  using A = accumulate_t<T>;
  RowReducer<A, kLanes> reducer(room_for_sums<A, kLanes>());
  const int H = static_cast<int>(a.H);
  const BlockColumns columns = columns_of_block<V, kLanes>(H);
  const Strip<V, E, kLanes> strip(columns);
  const Rows rows = rows_of_block<kLanes>();
  A* const shared = dynamic_shared<A>() + room_in_dynamic<A, kLanes> / sizeof(A);
  std::conditional_t<kSums, ColumnSums<A, V>, NoSums> column_sums(strip, columns, shared);
  SharedByRows<T> row_sums;
  const bool shared_by_rows = kGeneral && sums_rows(a);
  for (int64_t first = rows.first; first < a.rows; first += rows.step) {
    const bool inside = first + threadIdx.y < a.rows;
    const int64_t row = inside ? first + threadIdx.y : 0;
    RowPart<T, V, E, kLanes, 2, kGeneral> part(strip, inside ? H : 0, in_shared);
    load_row<!kGeneral>(a, row, reads_x, part);
    const RowGradient<T, V, kGeneral> gradient(a, row, segment, reads_x);
    A total[2] = {0, 0};
    sum_part<V, kSums>(gradient, part, column_sums, total);
    if (a.via_mean() || a.via_scale() || shared_by_rows) reducer.sum(total);
    if (shared_by_rows && inside && threadIdx.x == 0) row_sums.add(a, row, total[0], total[1]);
    if (a.dx) write_dx<V>(a, row, gradient, part, reducer, total);
  }
  if constexpr (kSums) column_sums.write(a.scratch + rows.first / blockDim.y * 2 * H, H);
  if (shared_by_rows && threadIdx.x == 0) row_sums.write(a);
}

// --- launching --------------------------------------------------------------------------------

/// run<E, kLanes, kGeneral>() as backward wants it.
template <class T, class Run>
auto with_backward_shape(const NormProblem<T>& a, const Run& run) {
  constexpr Limits kLimits = kBackward<T>;
  if (blocks_for_row(a, kLimits) > 1)
    return run.template operator()<kLimits.elements, kCluster, false>();
  const bool general = is_general(a, kLimits, a.H);
  if (!general && a.H > kLimits.row() / 2 && a.H <= kBackwardMiddle<T>.row())
    return run.template operator()<kBackwardMiddle<T>.elements, kBlock, false>();
  return with_shape<T, kLimits.elements>(a.H, general, run);
}

/// How backward runs: `sums`: its teams, blocks or clusters of them, sum the columns over the rows
/// that they have in turn.
struct BackwardPlan {
  dim3 block;
  unsigned teams;
  bool sums;
  unsigned blocks_a_team = 1;
};

/// The plan for rows that clusters share.
template <class T>
BackwardPlan cluster_plan(const NormProblem<T>& a, unsigned blocks) {
  using A = accumulate_t<T>;
  constexpr Limits kLimits = kBackward<T>;
  constexpr int E = kLimits.elements, V = sizeof(T) < sizeof(double) ? kWidest / sizeof(T) : 1;
  const int64_t columns = columns_each_of(a, blocks);
  const unsigned threads = threads_for<E>(columns, kLimits.threads);
  const auto rows = static_cast<unsigned>(a.rows);
  if (!sums_columns(a)) return {threads, rows, false, blocks};
  const ClusterLaunch launch(room_in_dynamic<A, kCluster> + ColumnSums<A, V>::bytes(1, columns),
                             rows, blocks, threads);
  const unsigned at_once = launch.at_once(backward_rows<T, V, E, kCluster, true, false>);
  return {threads, rows < at_once ? rows : at_once, true, blocks};
}

template <class T, int E, int kLanes, bool kGeneral>
BackwardPlan backward_plan(const NormProblem<T>& a) {
  using A = accumulate_t<T>;
  using Sums = ColumnSums<A, 1>;
  const unsigned R = kLanes > 0 ? kLanes : threads_for<E>(a.H, kBackwardThreadsOf<T, E, kBlock>);
  const size_t room = free_shared_memory<T>();
  const bool sums = !kGeneral && sums_columns(a) && Sums::bytes(1, a.H) <= room;
  unsigned y = rows_in_block(a.rows, R, kLanes > 0 || !sums ? kWarpRowThreads : kBackwardThreads);
  while (sums && y > 1 && Sums::bytes(y, a.H) > room) --y;
  // Sums of a parameter that all rows share need two registers: there more blocks cost nothing.
  constexpr int kWithoutColumns = 8;
  const bool takes_turns = sums || (sums_rows(a) && a.groups == 1);
  const unsigned needed = blocks_for(a.rows, y),
                 at_once = static_cast<unsigned>(multiprocessors() *
                                                 (sums ? kAtOnce<A, E, kLanes> : kWithoutColumns));
  const bool in_turn = takes_turns && needed > at_once;
  return {{R, y}, in_turn ? at_once : needed, sums};
}

template <class T>
BackwardPlan plan_of(const NormProblem<T>& a) {
  return with_backward_shape(a, [&]<int E, int kLanes, bool kGeneral>() {
    if constexpr (kLanes == kCluster)
      return cluster_plan(a, blocks_for_row(a, kBackward<T>));
    else
      return backward_plan<T, E, kLanes, kGeneral>(a);
  });
}

template <class T, int V, int E, int kLanes, bool kSums, bool kGeneral>
Failure launch_planned(const NormProblem<T>& a, const BackwardPlan& plan, bool reads_x) {
  using A = accumulate_t<T>;
  const auto kernel = backward_rows<T, V, E, kLanes, kSums, kGeneral>;
  const Divider segment = segment_divider(a.segment);
  if constexpr (kLanes == kCluster) {
    const int64_t columns = columns_each_of(a, plan.blocks_a_team);
    const size_t sums = kSums ? ColumnSums<A, V>::bytes(1, columns) : 0;
    return ClusterLaunch(room_in_dynamic<A, kCluster> + sums, plan.teams, plan.blocks_a_team,
                         plan.block)(kernel, a, segment, 0, reads_x);
  } else {
    const int in_shared = vectors_in_shared<T, V, 2>(a.H, kBackward<T>);
    const size_t shared =
        kSums ? ColumnSums<A, V>::bytes(plan.block.y, a.H)
              : 2 * sizeof(raw_t<T, V>) * plan.block.x * static_cast<unsigned>(in_shared);
    return launch_shared(shared, kernel, plan.teams, plan.block, a, segment, in_shared, reads_x);
  }
}

template <class T, int V>
Failure launch_backward(const NormProblem<T>& a) {
  const BackwardPlan plan = plan_of(a);
  if (!a.dx && !plan.sums && !sums_rows(a)) return nullptr;
  const bool reads_x =
      a.via_scale() || a.dgain || a.extremes || a.traits.output == Output::adaptive;
  return with_backward_shape(a, [&]<int E, int kLanes, bool kGeneral>() {
    if constexpr (!kGeneral)
      if (plan.sums) return launch_planned<T, V, E, kLanes, true, false>(a, plan, reads_x);
    return launch_planned<T, V, E, kLanes, false, kGeneral>(a, plan, reads_x);
  });
}

/// Completes the parameters' gradients after launch_backward().
template <class T>
Failure sum_parameters(const NormProblem<T>& a) {
  if (!a.dgain && !a.dbias) return nullptr;
  const BackwardPlan plan = plan_of(a);
  if (sums_rows(a))
    return sum_parts(a, a.scratch,
                     a.groups == 1 ? int64_t{plan.teams} * plan.block.y : a.rows / a.groups,
                     a.groups);
  if (!sums_columns(a) && a.segment != 1) return sum_segments(a);
  return plan.sums ? sum_parts(a, a.scratch, plan.teams, a.H) : sum_long_columns(a);
}

}  // namespace

template <class T>
Failure rows_backward(const NormProblem<T>& a) {
  const Failure failure = with_vectors(a, [&]<int V>() { return launch_backward<T, V>(a); });
  return failure ? failure : sum_parameters(a);
}

template <class T>
int64_t rows_backward_scratch(const NormProblem<T>& a) {
  if (!a.dgain && !a.dbias) return 0;
  const BackwardPlan plan = plan_of(a);
  if (sums_rows(a)) return a.groups == 1 ? int64_t{plan.teams} * plan.block.y * 2 : a.rows * 2;
  if (!sums_columns(a) && a.segment != 1) return segment_scratch(a);
  return plan.sums ? plan.teams * 2 * a.H : column_scratch(a);
}

#define NORMLAB_INSTANTIATE(T)                           \
  template Failure rows_backward(const NormProblem<T>&); \
  template int64_t rows_backward_scratch(const NormProblem<T>&);
NORMLAB_FOR_NORM_TYPES(NORMLAB_INSTANTIATE)

}  // namespace normlab::cuda
