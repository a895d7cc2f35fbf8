#include "norm_rows.h"

// All variants that share their statistics along a row, forward and backward: one kernel each, and
// the table of traits decides. kGeneral: rows that are clamped, whose parameters change from
// segment to segment, or that are too long for the registers.
//
// A norm does a few operations a byte, so memory alone bounds it: forward should move 2, backward 3
// times x. A row is therefore read once, into registers, and everything else happens there. What
// keeps the memory busy is bytes in flight: an H100 needs some 20 KB a multiprocessor (25 KB/us of
// its 3.35 TB/s, for 0.8 us). Here they are
//   forward   1,024 threads x 16 floats            64 KB (and 128 KB moved a round)
//   backward    512 threads x 32 floats x 2 arrays 128 KB (and 192 KB moved a round)
// A round (wait for the loads, compute, reduce, store) takes 3 to 4 us by itself, its bytes take 5
// and 7.7 us of the multiprocessor's share of the memory: so even one block, whose phases do not
// overlap, leaves the memory no pause, as the blocks are not in step.
//
// Backward's sums over rows, two more arrays of a row's length, would cost half of these registers.
// They lie in shared memory instead: 16 bytes an element and row, a sixth of what that can move
// meanwhile. As few blocks as fill the device go through all rows; each adds its rows of a moment
// up before it writes [2, H]. The second stage (norm_parameters.cu) reads these parts, as a rule
// still in L2: 132 x 8 H bytes written and read, against 12 H a row. That is 4 % at 8,192 rows;
// with 1,000 rows of 16,384 it is a sixth, and shows.
//
// Rows beyond 16,384 floats: forward keeps the rest in shared memory, which takes it to 65,536;
// beyond, and in backward beyond 40,960 (two arrays), the rest is read again, from L2: 132 rows of
// 65,536 overflow it only by 22 MB. There is no room on the chip for their sums over rows, so a
// kernel of its own reads x and dz once more: 5 arrays' traffic for 3. Two blocks or more that
// share a row (clusters) would save that.
//
// Meant for 85 % of the memory's rate, which nobody has measured yet: layernorm, rmsnorm and what
// is made like them, H % 4 == 0, forward to H = 65,536 and backward to 16,384. Not meant:
//   gain's and bias's gradients beyond H = 16,384   60 %, as said: 5 arrays for 3
//   x of 64 MB or less                              the second stage and the last round show
//   groupnorm's backward with gain, batchnorm       5 arrays for 3
//   topk                                            passes over the row to find the extremes
//   H % 4 != 0                                      loads of 4 bytes, not 16

namespace normlab::cuda {
namespace {

/// How many elements of a row a thread has in registers, and how many threads a row has at most.
struct Limits {
  int elements, threads;
  constexpr int64_t row() const { return int64_t{elements} * threads; }
};

// --- forward ----------------------------------------------------------------------------------

template <class T>
constexpr Limits kForward = {64 / sizeof(accumulate_t<T>), 1024};
/// The same rows, longer than half of that: two blocks are at once on a multiprocessor, not one.
template <class T>
constexpr Limits kForwardLong = {2 * kForward<T>.elements, kForward<T>.threads / 2};

/// Threads of a block of forward_rows at most, and its blocks that a multiprocessor must hold.
template <class T, int E, bool kOneWarp>
constexpr int kForwardThreads = kOneWarp                        ? 256
                                : E == kForwardLong<T>.elements ? kForwardLong<T>.threads
                                                                : kForward<T>.threads;
template <class T, int E>
constexpr int kForwardAtOnce = E == kForwardLong<T>.elements ? 2 : 1;

/// Mean and scale of a row, by all of its threads: the deviations are summed around the mean as
/// rounded, which also tells what rounding lost.
template <class T, class Part, class Clamping, class Reducer, class A = accumulate_t<T>>
__device__ RowStats<A> find_stats(const NormArgs<T>& a, const Part& part, const Clamping& clamp,
                                  Reducer& reducer) {
  const A H = static_cast<A>(a.H);
  A mean = 0;
  if (a.scale == Scale::std) {
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
  const A off = a.scale == Scale::std ? total[0] / H : A(0);
  return stats_of(a, mean, off, total[1] - off * off * H);
}

/// Row blockIdx.x * blockDim.y + threadIdx.y.
template <class T, int V, int E, bool kOneWarp, bool kGeneral>
__global__ void __launch_bounds__(kForwardThreads<T, E, kOneWarp>, kForwardAtOnce<T, E>)
    forward_rows(NormArgs<T> a, Divider segment, int in_shared) {
  using A = accumulate_t<T>;
  __shared__ RowSums<A> room;
  RowReducer<A, kOneWarp> reducer(room);
  const int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  const bool inside = row < a.rows;
  const int64_t at = inside ? row * a.H : 0;
  const int H = static_cast<int>(a.H);
  RowPart<T, V, E, kOneWarp, 1, kGeneral> part(Strip<V, E, kOneWarp>(H), inside ? H : 0, in_shared);
  if (a.residual)
    part.load_sum(a.x + at, a.residual + at, a.total + at);
  else
    part.template load<false>(0, a.x + at);
  const Clamp<A, kGeneral> clamp(a, inside ? row : 0);
  const RowStats<A> stats = find_stats<T>(a, part, clamp, reducer);
  if (!inside) return;
  if (threadIdx.x == 0) keep_stats(a, row, stats);
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
    for (int k = 0; k < V; ++k) y[k] = output_of(a, x[0][k], stats.normalized(y[k]), w[k], b[k]);
    store_values<T, V>(z + column, y);
  });
}

// --- backward ---------------------------------------------------------------------------------

/// Whether each row has one gain and one bias and their gradients are wanted.
template <class T>
__host__ __device__ bool sums_rows(const NormArgs<T>& a) {
  return a.segment == a.H && (a.dgain || a.dbias);
}
/// Whether every column has its own.
template <class T>
bool sums_columns(const NormArgs<T>& a) {
  return a.segment == 0 && (a.dgain || a.dbias);
}

/// What one row's derivative is made of.
template <class T, int V, bool kGeneral>
struct RowGradient {
  using A = accumulate_t<T>;
  const NormArgs<T>& a;
  RowStats<A> stats;
  Clamp<A, kGeneral> clamp;
  ParameterPlace<kGeneral> place;
  A rate;  ///< what multiplies all of dx: rstd, and a gain that the whole row shares

  __device__ RowGradient(const NormArgs<T>& a, int64_t row, Divider segment)
      : a(a),
        stats(kept_stats(a, row)),
        clamp(a, row),
        place(a, row, segment),
        rate(stats.rstd * (kGeneral && place.one_a_row && a.gain ? a.gain[place.first] : A(1))) {}

  /// y, and its gradient per rate, from x and dz.
  __device__ void at(int column, const A (&values)[2][V], A (&y)[V], A (&dy)[V]) const {
    A w[V];
#pragma unroll
    for (int k = 0; k < V; ++k) y[k] = values[0][k];
    clamp.apply(y);
    place.template load<V>(kGeneral && place.one_a_row ? nullptr : a.gain, column, A(1), w);
#pragma unroll
    for (int k = 0; k < V; ++k) {
      y[k] = stats.normalized(y[k]);
      dy[k] = gradient_of_y(a, values[1][k], y[k], w[k]);
    }
  }

  /// dx where nothing is clamped.
  __device__ void dx(int column, const A (&values)[2][V], const Through<A>& through,
                     A (&dx)[V]) const {
    A y[V];
    at(column, values, y, dx);
#pragma unroll
    for (int k = 0; k < V; ++k) dx[k] = rate * (dx[k] - through.mean - y[k] * through.scale);
  }
};

/// What the clamped entries' gradients add to the two entries whose values they took.
template <int V, class Row, class Part, class Reducer, class A>
__device__ void sum_clamped(const Row& row, const Part& part, const Through<A>& through,
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

  __device__ void add(const NormArgs<T>& a, int64_t row, A sum, A sum_y) {
    if (a.groups == 1) {
      gain += sum_y;
      bias += sum;
    } else {
      A* to = a.scratch + row / a.groups * 2 * a.groups + row % a.groups;
      to[0] = sum_y;
      to[a.groups] = sum;
    }
  }
  __device__ void write(const NormArgs<T>& a) const {
    if (a.groups != 1) return;
    A* to = a.scratch + (static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y) * 2;
    to[0] = gain;
    to[1] = bias;
  }
};

struct NoSums {
  template <class Own>
  __device__ NoSums(const Own&, int) {}
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
template <class T, int E, bool kOneWarp>
constexpr int kBackwardThreadsOf = kOneWarp                           ? kWarpRowThreads
                                   : E == kBackwardMiddle<T>.elements ? kBackwardMiddle<T>.threads
                                                                      : kBackwardThreads;

/// Blocks of backward_rows that a multiprocessor must hold at once: its 65,536 registers are shared
/// by so many.
template <class A, int E, bool kOneWarp>
constexpr int kAtOnce = !kOneWarp              ? 1
                        : E * sizeof(A) >= 128 ? 2
                        : E * sizeof(A) >= 64  ? 3
                        : E * sizeof(A) >= 32  ? 4
                                               : 5;

/// Rows blockIdx.x * blockDim.y + threadIdx.y and every gridDim.x * blockDim.y further. kSums: each
/// column has parameters of its own whose gradients are wanted.
template <class T, int V, int E, bool kOneWarp, bool kSums, bool kGeneral>
__global__ void __launch_bounds__(kBackwardThreadsOf<T, E, kOneWarp>,
                                  kAtOnce<accumulate_t<T>, E, kOneWarp>)
    backward_rows(NormArgs<T> a, Divider segment, int in_shared, bool reads_x) {
  using A = accumulate_t<T>;
  __shared__ RowSums<A> room;
  RowReducer<A, kOneWarp> reducer(room);
  const int H = static_cast<int>(a.H);
  const Strip<V, E, kOneWarp> strip(H);
  std::conditional_t<kSums, ColumnSums<A, V>, NoSums> column_sums(strip, H);
  SharedByRows<T> row_sums;
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.y;
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * blockDim.y; first < a.rows;
       first += step) {
    const bool inside = first + threadIdx.y < a.rows;
    const int64_t row = inside ? first + threadIdx.y : 0;
    RowPart<T, V, E, kOneWarp, 2, kGeneral> part(strip, inside ? H : 0, in_shared);
    // Of general rows the parameters' gradients read both once more.
    if (reads_x)
      part.template load<!kGeneral>(0, a.x + row * a.H);
    else
      part.leave_out(0);
    part.template load<!kGeneral>(1, a.dz + row * a.H);
    const RowGradient<T, V, kGeneral> gradient(a, row, segment);
    A total[2] = {0, 0};
    part.each([&](int column, auto& values) {
      A y[V], dy[V];
      gradient.at(column, values, y, dy);
      if constexpr (kSums) column_sums.add(column, values[1], y);
#pragma unroll
      for (int k = 0; k < V; ++k) {
        total[0] += dy[k];
        total[1] += dy[k] * y[k];
      }
    });
    const bool shared_by_rows = kGeneral && sums_rows(a);
    if (a.via_mean || a.via_scale || shared_by_rows) reducer.sum(total);
    if (shared_by_rows && inside && threadIdx.x == 0) row_sums.add(a, row, total[0], total[1]);
    if (!a.dx) continue;
    const Through<A> through = through_stats(a, gradient.stats, total[0], total[1]);
    A clamped[2] = {0, 0};
    if (gradient.clamp.on()) sum_clamped<V>(gradient, part, through, reducer, clamped);
    T* dx = a.dx + row * a.H;
    part.each([&](int column, auto& values) {
      A out[V];
      gradient.dx(column, values, through, out);
      if (gradient.clamp.on())
        route_clamped(gradient, a.extremes + 2 * row, column, values[0], clamped, out);
      store_values<T, V>(dx + column, out);
    });
  }
  if constexpr (kSums) column_sums.write(a.scratch + int64_t{blockIdx.x} * 2 * H, H);
  if (kGeneral && sums_rows(a) && threadIdx.x == 0) row_sums.write(a);
}

// --- launching --------------------------------------------------------------------------------

/// Whether only the general kernels do.
template <class T>
bool is_general(const NormArgs<T>& a, const Limits& limits) {
  return a.segment != 0 || a.extremes || a.H > limits.row();
}

/// run<E, kOneWarp, kGeneral>() with the least E, but no less than one load, that lets a warp hold
/// a row; else with the most.
template <class T, int kMost, int E = 16 / sizeof(T), class Run>
auto with_shape(int64_t H, bool general, const Run& run) {
  if constexpr (E < kMost) {
    if (!general && H <= 32 * E) return run.template operator()<E, true, false>();
    return with_shape<T, kMost, E * 2>(H, general, run);
  } else {
    if (general) return run.template operator()<kMost, false, true>();
    if (H <= 32 * kMost) return run.template operator()<kMost, true, false>();
    return run.template operator()<kMost, false, false>();
  }
}

/// Threads for a row.
template <int E>
unsigned threads_for(int64_t H, int most) {
  const int64_t threads = 32 * int64_t{blocks_for(H, 32 * E)};
  return static_cast<unsigned>(threads < most ? threads : most);
}

/// Rows that a block of `threads` takes, R threads each: fewer where multiprocessors would be idle.
unsigned rows_in_block(int64_t rows, unsigned R, unsigned threads) {
  const unsigned most = threads > R ? threads / R : 1;
  const unsigned each = blocks_for(rows, multiprocessors());
  return each < most ? each : most;
}

/// Shared memory that a block of these kernels can have beside its RowSums.
template <class T>
size_t free_shared_memory() {
  return most_shared_memory() - sizeof(RowSums<accumulate_t<T>>);
}

/// Of a row that is too long for the registers, what lies in shared memory: vectors a thread, in
/// whole batches.
template <class T, int V, int K>
int vectors_in_shared(int64_t H, const Limits& limits) {
  if (H <= limits.row()) return 0;
  const size_t batch = sizeof(raw_t<T, V>) * static_cast<size_t>(limits.threads) * K * kLoadBatch;
  const auto room = static_cast<int64_t>(free_shared_memory<T>() / batch),
             wanted =
                 int64_t{blocks_for(H - limits.row(), int64_t{limits.threads} * V * kLoadBatch)};
  return static_cast<int>(wanted < room ? wanted : room) * kLoadBatch;
}

template <class T, int V>
Failure forward(const NormArgs<T>& a) {
  constexpr Limits kLimits = kForward<T>;
  const bool general = is_general(a, kLimits);
  const int in_shared = vectors_in_shared<T, V, 1>(a.H, kLimits);
  const auto run = [&]<int E, bool kOneWarp, bool kGeneral>() {
    const unsigned R = threads_for<E>(a.H, kForwardThreads<T, E, false>);
    const dim3 block(R, rows_in_block(a.rows, R, 256));
    return launch_shared(sizeof(raw_t<T, V>) * R * static_cast<unsigned>(in_shared),
                         forward_rows<T, V, E, kOneWarp, kGeneral>, blocks_for(a.rows, block.y),
                         block, a, segment_divider(a.segment), in_shared);
  };
  if constexpr (sizeof(T) < sizeof(double))  // twice the doubles are more than 64 registers hold
    if (!general && a.H > kLimits.row() / 2)
      return run.template operator()<kForwardLong<T>.elements, false, false>();
  return with_shape<T, kLimits.elements>(a.H, general, run);
}

/// run<E, kOneWarp, kGeneral>() as backward wants it.
template <class T, class Run>
auto with_backward_shape(const NormArgs<T>& a, const Run& run) {
  const bool general = is_general(a, kBackward<T>);
  if (!general && a.H > kBackward<T>.row() / 2 && a.H <= kBackwardMiddle<T>.row())
    return run.template operator()<kBackwardMiddle<T>.elements, false, false>();
  return with_shape<T, kBackward<T>.elements>(a.H, general, run);
}

/// How backward runs: `sums`: its blocks sum the columns over the rows that they have in turn.
struct BackwardPlan {
  dim3 block;
  unsigned blocks;
  bool sums;
};

template <class T, int E, bool kOneWarp, bool kGeneral>
BackwardPlan backward_plan(const NormArgs<T>& a) {
  using A = accumulate_t<T>;
  using Sums = ColumnSums<A, 1>;
  const unsigned R = threads_for<E>(a.H, kBackwardThreadsOf<T, E, false>);
  const size_t room = free_shared_memory<T>();
  const bool sums = !kGeneral && sums_columns(a) && Sums::bytes(1, a.H) <= room;
  unsigned y = rows_in_block(a.rows, R, kOneWarp || !sums ? kWarpRowThreads : kBackwardThreads);
  while (sums && y > 1 && Sums::bytes(y, a.H) > room) --y;
  // Sums of a parameter that all rows share need two registers: there more blocks cost nothing.
  constexpr int kWithoutColumns = 8;
  const bool takes_turns = sums || (sums_rows(a) && a.groups == 1);
  const unsigned needed = blocks_for(a.rows, y),
                 at_once = static_cast<unsigned>(
                     multiprocessors() * (sums ? kAtOnce<A, E, kOneWarp> : kWithoutColumns));
  const bool in_turn = takes_turns && needed > at_once;
  return {{R, y}, in_turn ? at_once : needed, sums};
}

template <class T>
BackwardPlan plan_of(const NormArgs<T>& a) {
  return with_backward_shape(a, [&]<int E, bool kOneWarp, bool kGeneral>() {
    return backward_plan<T, E, kOneWarp, kGeneral>(a);
  });
}

template <class T, int V>
Failure launch_backward(const NormArgs<T>& a) {
  const BackwardPlan plan = plan_of(a);
  if (!a.dx && !plan.sums && !sums_rows(a)) return nullptr;
  const Divider segment = segment_divider(a.segment);
  const bool reads_x = a.via_scale || a.dgain || a.extremes || a.output == Output::adaptive;
  const int in_shared = vectors_in_shared<T, V, 2>(a.H, kBackward<T>);
  return with_backward_shape(a, [&]<int E, bool kOneWarp, bool kGeneral>() {
    if constexpr (!kGeneral)
      if (plan.sums)
        return launch_shared(ColumnSums<accumulate_t<T>, V>::bytes(plan.block.y, a.H),
                             backward_rows<T, V, E, kOneWarp, true, false>, plan.blocks, plan.block,
                             a, segment, in_shared, reads_x);
    return launch_shared(2 * sizeof(raw_t<T, V>) * plan.block.x * static_cast<unsigned>(in_shared),
                         backward_rows<T, V, E, kOneWarp, false, kGeneral>, plan.blocks, plan.block,
                         a, segment, in_shared, reads_x);
  });
}

/// What the parameters' gradients still need after launch_backward().
template <class T>
Failure sum_parameters(const NormArgs<T>& a) {
  if (!a.dgain && !a.dbias) return nullptr;
  const BackwardPlan plan = plan_of(a);
  if (sums_rows(a))
    return sum_parts(a, a.scratch,
                     a.groups == 1 ? int64_t{plan.blocks} * plan.block.y : a.rows / a.groups,
                     a.groups);
  if (!sums_columns(a)) return sum_segments(a);
  return plan.sums ? sum_parts(a, a.scratch, plan.blocks, a.H) : sum_long_columns(a);
}

constexpr int64_t kLongestRow = int64_t{1} << 30;
constexpr Failure kTooLong = "a row has more than 2^30 elements";

template <class T>
Failure norm_forward(const NormArgs<T>& a) {
  if (a.rows == 0 || a.H == 0) return nullptr;
  if (a.H > kLongestRow) return kTooLong;
  if (a.batch) return batch_forward(a);
  if (a.scale == Scale::tanh) return tanh_forward(a);
  if (a.clamp > 0)
    if (const Failure failure = find_extremes(a)) return failure;
  return with_vectors(a, [&]<int V>() { return forward<T, V>(a); });
}

template <class T>
Failure norm_backward(const NormArgs<T>& a) {
  if (a.rows == 0 || a.H == 0) return nullptr;
  if (a.batch) return batch_backward(a);
  if (a.scale == Scale::tanh) return tanh_backward(a);
  const Failure failure = with_vectors(a, [&]<int V>() { return launch_backward<T, V>(a); });
  return failure ? failure : sum_parameters(a);
}

template <class T>
int64_t forward_scratch(const NormArgs<T>& a) {
  return a.batch && a.rows > 0 && a.H > 0 ? batch_scratch(a) : 0;
}

template <class T>
int64_t backward_scratch(const NormArgs<T>& a) {
  if (a.rows == 0 || a.H == 0) return 0;
  if (a.batch) return batch_scratch(a);
  if (a.scale == Scale::tanh) return tanh_scratch(a);
  if (!a.dgain && !a.dbias) return 0;
  const BackwardPlan plan = plan_of(a);
  if (sums_rows(a)) return a.groups == 1 ? int64_t{plan.blocks} * plan.block.y * 2 : a.rows * 2;
  if (!sums_columns(a)) return segment_scratch(a);
  return plan.sums ? plan.blocks * 2 * a.H : column_scratch(a);
}

template <class T>
constexpr NormCalls<T> kCalls = {
    .forward_scratch = forward_scratch<T>,
    .forward = norm_forward<T>,
    .backward_scratch = backward_scratch<T>,
    .backward = norm_backward<T>,
};

}  // namespace

const NormFunctions norm_functions = {
    .of_float = kCalls<float>, .of_double = kCalls<double>, .of_bfloat16 = kCalls<bfloat16>};

}  // namespace normlab::cuda
