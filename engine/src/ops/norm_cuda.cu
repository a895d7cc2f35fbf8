#include "ops/norm_cuda.h"
#include "ops/norm_rows_cuda.h"

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
// up before it writes [2, H]. The second stage (norm_parameters_cuda.cu) reads these parts, as a
// rule still in L2: 132 x 8 H bytes written and read, against 12 H a row. That is 4 % at 8,192
// rows; with 1,000 rows of 16,384 it is a sixth, and shows.
//
// Rows beyond 16,384 floats are shared by clusters of 2, 4 or 8 blocks, up to 131,072: each has its
// part in registers (and its sums over rows in shared memory), and leaves its sums over the row in
// the others' shared memory. Where there are no clusters (before compute capability 9.0), or rows
// are longer, clamped or have parameters by segments, a block keeps the rest of its row in shared
// memory, 65,536 floats in all forward and 40,960 backward; beyond, it is read again, from L2: 132
// rows of 65,536 overflow it only by 22 MB. There is no room on the chip for sums over such rows,
// so a kernel of its own reads x and dz once more: 5 arrays' traffic for 3.
//
// Meant for 85 % of the memory's rate, which nobody has measured yet: float32 layernorm, rmsnorm
// and what is made like them, H % 4 == 0, H from 128 to 131,072. Not meant:
//   x of 64 MB or less                 the second stage and the last round show
//   gain's and bias's gradients        beyond H = 16,384 without clusters 60 %: 5 arrays for 3
//   groupnorm's backward with gain, batchnorm   5 arrays for 3
//   topk                               passes over the row to find the extremes
//   H % 4 != 0                         loads of 4 bytes, not 16
//   short rows, bfloat16               their instructions take as long as their bytes or longer:
//                                      20 to 70 an element, of which a multiprocessor does 128 in
//                                      the time of 14 bytes (a row of 32 floats has 60 an element)

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
__device__ __attribute__((noinline)) RowStats<A> careful_stats(RowInMemory<T> row,
                                                               Clamp<A, kGeneral> clamp,
                                                               Divisor divisor) {
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
  const A factor = divisor.factor_of(most, spread);
  const auto scaled = [=](A x) { return static_cast<double>(x * factor); };
  double mean = 0, off = 0;
  if (divisor.centred) {
    mean = scaled(first) + over_row([=](A x) { return scaled(x) - scaled(first); }, sum) / row.H;
    off = over_row([=](A x) { return scaled(x) - mean; }, sum) / row.H;
  }
  const double squares =
      over_row([=](A x) { return (scaled(x) - mean) * (scaled(x) - mean); }, sum);
  return divisor.stats_of(factor, mean + off, squares - off * off * row.H);
}

/// Mean and scale of a row, by all of its threads: the deviations are summed around the mean as
/// rounded, which also tells what rounding lost.
template <int kLanes, bool kGeneral, class T, class Part, class Reducer, class A = accumulate_t<T>>
__device__ RowStats<A> find_stats(const NormArgs<T>& a, int64_t at, const Part& part,
                                  const Clamp<A, kGeneral>& clamp, Reducer& reducer) {
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
  bool right;
  const RowStats<A> stats = stats_of(a, mean, off, total[1] - off * off * H, right);
  if (right) return stats;
  const RowInMemory<T> row{a.x + at, a.residual ? a.residual + at : nullptr, static_cast<int>(a.H)};
  return careful_stats<kLanes, kGeneral>(row, clamp, Divisor(a));
}

/// The first row that a block has, threadIdx.y's are behind it, and how many rows all have at once.
struct Rows {
  int64_t first, step;
};
template <int kLanes>
__device__ Rows rows_of_block() {
  const unsigned blocks = kLanes == kCluster ? Cluster::size() : 1;
  return {static_cast<int64_t>(blockIdx.x / blocks) * blockDim.y,
          static_cast<int64_t>(gridDim.x / blocks) * blockDim.y};
}

template <class T, int V, int E, int kLanes, bool kGeneral>
__global__ void __launch_bounds__(kForwardThreads<T, E, kLanes>, kForwardAtOnce<T, E>)
    forward_rows(NormArgs<T> a, Divider segment, int in_shared) {
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
  const RowStats<A> stats = find_stats<kLanes, kGeneral>(a, at, part, clamp, reducer);
  if (!inside) return;
  if (threadIdx.x == 0 && columns.begin == 0) keep_stats(a, row, stats);
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
    if (a.output == Output::residual) {
#pragma unroll
      for (int k = 0; k < V; ++k) y[k] += x[0][k];
    }
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

  /// Without x every y is 0: it multiplies nothing then, but must not be infinite.
  __device__ RowGradient(const NormArgs<T>& a, int64_t row, Divider segment, bool reads_x)
      : a(a),
        stats(kept_stats(a, row)),
        clamp(a, row),
        place(a, row, segment),
        rate(stats.rstd * (kGeneral && place.one_a_row && a.gain ? a.gain[place.first] : A(1))) {
    if (!reads_x) stats.mean = stats.off = 0;
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

/// Rows in turn. kSums: each column has parameters of its own whose gradients are wanted.
template <class T, int V, int E, int kLanes, bool kSums, bool kGeneral>
__global__ void __launch_bounds__(kBackwardThreadsOf<T, E, kLanes>,
                                  kAtOnce<accumulate_t<T>, E, kLanes>)
    backward_rows(NormArgs<T> a, Divider segment, int in_shared, bool reads_x) {
  using A = accumulate_t<T>;
  RowReducer<A, kLanes> reducer(room_for_sums<A, kLanes>());
  const int H = static_cast<int>(a.H);
  const BlockColumns columns = columns_of_block<V, kLanes>(H);
  const Strip<V, E, kLanes> strip(columns);
  const Rows rows = rows_of_block<kLanes>();
  A* const shared = dynamic_shared<A>() + room_in_dynamic<A, kLanes> / sizeof(A);
  std::conditional_t<kSums, ColumnSums<A, V>, NoSums> column_sums(strip, columns, shared);
  SharedByRows<T> row_sums;
  for (int64_t first = rows.first; first < a.rows; first += rows.step) {
    const bool inside = first + threadIdx.y < a.rows;
    const int64_t row = inside ? first + threadIdx.y : 0;
    RowPart<T, V, E, kLanes, 2, kGeneral> part(strip, inside ? H : 0, in_shared);
    // Of general rows the parameters' gradients read both once more.
    if (reads_x)
      part.template load<!kGeneral>(0, a.x + row * a.H);
    else
      part.leave_out(0);
    part.template load<!kGeneral>(1, a.dz + row * a.H);
    const RowGradient<T, V, kGeneral> gradient(a, row, segment, reads_x);
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
      gradient.stats.scale_back(out);
      store_values<T, V>(dx + column, out);
    });
  }
  if constexpr (kSums) column_sums.write(a.scratch + rows.first / blockDim.y * 2 * H, H);
  if (kGeneral && sums_rows(a) && threadIdx.x == 0) row_sums.write(a);
}

// --- launching --------------------------------------------------------------------------------

/// Whether only the general kernels do, for a row of `row` elements.
template <class T>
bool is_general(const NormArgs<T>& a, const Limits& limits, int64_t row) {
  return a.segment != 0 || a.extremes || row > limits.row();
}

/// A grid has 2^31 - 1 blocks at most.
constexpr int64_t kMostTeams = INT32_MAX / kMostBlocks;

/// How many blocks share a row that is too long for one: 1 if clusters cannot take it.
template <class T>
unsigned blocks_for_row(const NormArgs<T>& a, const Limits& limits) {
  if (a.H <= limits.row() || a.rows > kMostTeams || !has_clusters()) return 1;
  for (unsigned blocks = 2; blocks <= kMostBlocks; blocks *= 2)
    if (!is_general(a, limits, (a.H + blocks - 1) / blocks)) return blocks;
  return 1;
}

/// run<E, kLanes, kGeneral>() with the least E, but no less than one load, that lets a warp hold
/// a row; else with the most.
template <class T, int kMost, int E = 16 / sizeof(T), class Run>
auto with_shape(int64_t H, bool general, const Run& run) {
  if constexpr (E == 16 / sizeof(T)) {
    if (!general && H <= 8 * E) return run.template operator()<E, 8, false>();
    if (!general && H <= 16 * E) return run.template operator()<E, 16, false>();
  }
  if constexpr (E < kMost) {
    if (!general && H <= 32 * E) return run.template operator()<E, 32, false>();
    return with_shape<T, kMost, E * 2>(H, general, run);
  } else {
    if (general) return run.template operator()<kMost, kBlock, true>();
    if (H <= 32 * kMost) return run.template operator()<kMost, 32, false>();
    return run.template operator()<kMost, kBlock, false>();
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
  const unsigned each = blocks_for(rows, multiprocessors()), whole = R < 32 ? 32 / R : 1;
  return each < most ? (each + whole - 1) / whole * whole : most;
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

constexpr int kWidest = 16;  ///< bytes of a load

/// The longest share of a row that one of its blocks has, however wide its loads are.
template <class T>
int64_t columns_each_of(const NormArgs<T>& a, unsigned blocks) {
  return columns_each(static_cast<int>(a.H), kWidest / sizeof(T), static_cast<int>(blocks));
}

/// What a cluster's block has of a row in forward.
template <class T>
constexpr Limits kForwardShare = sizeof(T) < sizeof(double) ? kForwardLong<T> : kForward<T>;

template <class T, int V>
Failure forward_in_clusters(const NormArgs<T>& a, unsigned blocks) {
  using A = accumulate_t<T>;
  constexpr Limits kLimits = kForwardShare<T>;
  constexpr int E = kLimits.elements;
  const unsigned threads = threads_for<E>(columns_each_of(a, blocks), kLimits.threads);
  return ClusterLaunch(room_in_dynamic<A, kCluster>, static_cast<unsigned>(a.rows), blocks,
                       threads)(forward_rows<T, V, E, kCluster, false>, a, segment_divider(0), 0);
}

template <class T, int V>
Failure forward(const NormArgs<T>& a) {
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

/// run<E, kLanes, kGeneral>() as backward wants it.
template <class T, class Run>
auto with_backward_shape(const NormArgs<T>& a, const Run& run) {
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

/// Of rows that clusters share.
template <class T>
BackwardPlan cluster_plan(const NormArgs<T>& a, unsigned blocks) {
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
BackwardPlan backward_plan(const NormArgs<T>& a) {
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
BackwardPlan plan_of(const NormArgs<T>& a) {
  return with_backward_shape(a, [&]<int E, int kLanes, bool kGeneral>() {
    if constexpr (kLanes == kCluster)
      return cluster_plan(a, blocks_for_row(a, kBackward<T>));
    else
      return backward_plan<T, E, kLanes, kGeneral>(a);
  });
}

template <class T, int V, int E, int kLanes, bool kSums, bool kGeneral>
Failure launch_planned(const NormArgs<T>& a, const BackwardPlan& plan, bool reads_x) {
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
Failure launch_backward(const NormArgs<T>& a) {
  const BackwardPlan plan = plan_of(a);
  if (!a.dx && !plan.sums && !sums_rows(a)) return nullptr;
  const bool reads_x = a.via_scale || a.dgain || a.extremes || a.output == Output::adaptive;
  return with_backward_shape(a, [&]<int E, int kLanes, bool kGeneral>() {
    if constexpr (!kGeneral)
      if (plan.sums) return launch_planned<T, V, E, kLanes, true, false>(a, plan, reads_x);
    return launch_planned<T, V, E, kLanes, false, kGeneral>(a, plan, reads_x);
  });
}

/// What the parameters' gradients still need after launch_backward().
template <class T>
Failure sum_parameters(const NormArgs<T>& a) {
  if (!a.dgain && !a.dbias) return nullptr;
  const BackwardPlan plan = plan_of(a);
  if (sums_rows(a))
    return sum_parts(a, a.scratch,
                     a.groups == 1 ? int64_t{plan.teams} * plan.block.y : a.rows / a.groups,
                     a.groups);
  if (!sums_columns(a) && a.segment != 1) return sum_segments(a);
  return plan.sums ? sum_parts(a, a.scratch, plan.teams, a.H) : sum_long_columns(a);
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
  const Failure failure = with_vectors(a, [&]<int V>() { return forward<T, V>(a); });
  return failure || !a.updates_running ? failure : update_running_of_rows(a);
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
  if (a.rows == 0 || a.H == 0) return 0;
  return a.batch ? batch_scratch(a) : a.updates_running ? a.rows : 0;
}

template <class T>
int64_t backward_scratch(const NormArgs<T>& a) {
  if (a.rows == 0 || a.H == 0) return 0;
  if (a.batch) return batch_scratch(a);
  if (a.scale == Scale::tanh) return tanh_scratch(a);
  if (!a.dgain && !a.dbias) return 0;
  const BackwardPlan plan = plan_of(a);
  if (sums_rows(a)) return a.groups == 1 ? int64_t{plan.teams} * plan.block.y * 2 : a.rows * 2;
  if (!sums_columns(a) && a.segment != 1) return segment_scratch(a);
  return plan.sums ? plan.teams * 2 * a.H : column_scratch(a);
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
