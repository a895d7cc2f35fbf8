#include <cmath>

#include "launch.h"
#include "row_reduce.h"

// All row-wise variants, forward and backward: one kernel each, and the table of traits decides.
// The traits are the same for every thread, so their branches cost nothing beside the memory.
//
// Up to 16,384 elements a row lies in registers and comes from memory once. Longer rows pass
// through twice or thrice; all passes but the first find them in the L2 cache.

namespace normlab::cuda {
namespace {

// --- one element ------------------------------------------------------------------------------

/// What a row is divided by and what was subtracted.
template <class T>
struct RowStats {
  T mean, rstd, shift, coef;
  __device__ T normalized(T x) const { return (x - mean) * rstd + shift; }
};

template <class T>
__device__ T output_of(const NormArgs<T>& a, T x, T y, int64_t j) {
  if (a.gain) y *= a.gain[a.scalar_gain ? 0 : j];
  if (a.bias) y += a.bias[j];
  if (a.output == Output::adaptive) return a.C * (T(1) - a.k * y) * y;
  return a.output == Output::residual ? x + y : y;
}

/// The gradient of y.
template <class T>
__device__ T gradient_of_y(const NormArgs<T>& a, T dz, T y, int64_t j) {
  if (a.gain) dz *= a.gain[a.scalar_gain ? 0 : j];
  if (a.output == Output::adaptive) dz *= a.C * (T(1) - a.k * y);
  return dz;
}

/// From the mean as first computed, what it was off by, and the squared deviations from the mean
/// proper: as norm_reference.cpp has it.
template <class T>
__device__ RowStats<T> stats_of(const NormArgs<T>& a, T mean, T off, T squares) {
  const double sum = squares > 0 ? static_cast<double>(squares) : 0.0;
  const double H = static_cast<double>(a.H);
  const double n = a.scale == Scale::l2 ? 1.0 : a.scale == Scale::std && !a.var_eps ? H - 1 : H;
  const double root = sqrt(sum / n);
  const double sigma = a.var_eps ? sqrt(sum / n + a.eps) : root + a.eps;
  const double coef = a.var_eps ? 1.0 / n : root > 0 ? sigma / (n * root) : 0.0;
  // NaN must not pass as zero.
  const double bad = squares == squares ? 0.0 : static_cast<double>(squares);
  return {mean, static_cast<T>(1.0 / sigma + bad), static_cast<T>(-off / sigma),
          static_cast<T>(coef)};
}

template <class T>
__device__ void keep_stats(const NormArgs<T>& a, int64_t row, const RowStats<T>& s) {
  a.mean[row] = s.mean;
  a.rstd[row] = s.rstd;
  a.shift[row] = s.shift;
  a.coef[row] = s.coef;
}

template <class T>
__device__ RowStats<T> kept_stats(const NormArgs<T>& a, int64_t row) {
  return {a.mean[row], a.rstd[row], a.shift[row], a.coef[row]};
}

/// How much the mean and the scale take from every dx of the row.
template <class T>
struct Through {
  T mean, scale;
};

template <class T>
__device__ Through<T> through_stats(const NormArgs<T>& a, const RowStats<T>& s, T sum, T sum_y) {
  return {a.via_mean ? sum / static_cast<T>(a.H) : T(0), a.via_scale ? sum_y * s.coef : T(0)};
}

// --- a row in registers -----------------------------------------------------------------------

/// E elements of a row for each of R threads, in vectors of V neighbours.
template <class T, int R, int E, int V>
struct Slice {
  static constexpr int kVectors = E / V;
  /// Column of the i-th vector.
  static __device__ int64_t column(int i) {
    return (static_cast<int64_t>(i) * R + threadIdx.x) * V;
  }
  struct alignas(sizeof(T) * V) Vector {
    T of[V];
  };
  static __device__ void load(const T* row, int64_t H, T (&x)[E]) {
#pragma unroll
    for (int i = 0; i < kVectors; ++i) {
      Vector v{};
      if (column(i) < H) v = *reinterpret_cast<const Vector*>(row + column(i));
#pragma unroll
      for (int k = 0; k < V; ++k) x[i * V + k] = v.of[k];
    }
  }
  static __device__ void store(T* row, int64_t H, const T (&x)[E]) {
#pragma unroll
    for (int i = 0; i < kVectors; ++i) {
      if (column(i) >= H) continue;
      Vector v;
#pragma unroll
      for (int k = 0; k < V; ++k) v.of[k] = x[i * V + k];
      *reinterpret_cast<Vector*>(row + column(i)) = v;
    }
  }
  /// Calls body(element, column) for every element within the row.
  template <class Body>
  static __device__ void each(int64_t H, const Body& body) {
#pragma unroll
    for (int i = 0; i < kVectors; ++i)
      if (column(i) < H)
#pragma unroll
        for (int k = 0; k < V; ++k) body(i * V + k, column(i) + k);
  }
};

template <class T, int R, int E, int V, int RowsPerBlock>
__global__ void __launch_bounds__(R* RowsPerBlock) forward_in_registers(NormArgs<T> a) {
  using S = Slice<T, R, E, V>;
  __shared__ RowReducer<T, R, RowsPerBlock> reducer;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * RowsPerBlock + threadIdx.y;
  const bool inside = row < a.rows;
  T x[E];
  S::load(a.x + (inside ? row : 0) * a.H, inside ? a.H : 0, x);
  T mean = 0, off = 0;
  if (a.scale == Scale::std) {
    T sum = 0;
    S::each(a.H, [&](int e, int64_t) { sum += x[e]; });
    mean = reducer.sum(sum) / static_cast<T>(a.H);
    // What rounding the mean lost.
    T rest = 0;
    S::each(a.H, [&](int e, int64_t) { rest += x[e] - mean; });
    off = reducer.sum(rest) / static_cast<T>(a.H);
  }
  T squares = 0;
  S::each(a.H, [&](int e, int64_t) {
    const T d = x[e] - mean - off;
    squares += d * d;
  });
  const RowStats<T> stats = stats_of(a, mean, off, reducer.sum(squares));
  if (!inside) return;
  if (threadIdx.x == 0) keep_stats(a, row, stats);
  S::each(a.H, [&](int e, int64_t j) { x[e] = output_of(a, x[e], stats.normalized(x[e]), j); });
  S::store(a.z + row * a.H, a.H, x);
}

/// Rows blockIdx.x * RowsPerBlock + threadIdx.y and every gridDim.x * RowsPerBlock further. Sums
/// for the parameters stay in registers until the block's last row.
template <class T, int R, int E, int V, int RowsPerBlock, bool Parameters>
__global__ void __launch_bounds__(R* RowsPerBlock) backward_in_registers(NormArgs<T> a) {
  using S = Slice<T, R, E, V>;
  __shared__ RowReducer<T, R, RowsPerBlock> reducer;
  T gain_sums[Parameters ? E : 1] = {}, bias_sums[Parameters ? E : 1] = {};
  const int64_t step = static_cast<int64_t>(gridDim.x) * RowsPerBlock;
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * RowsPerBlock; first < a.rows;
       first += step) {
    const int64_t row = first + threadIdx.y;
    const bool inside = row < a.rows;
    const int64_t H = inside ? a.H : 0, at = (inside ? row : 0) * a.H;
    T x[E], dz[E];
    S::load(a.x + at, H, x);
    S::load(a.dz + at, H, dz);
    const RowStats<T> stats = kept_stats(a, inside ? row : 0);
    T sum = 0, sum_y = 0;
    S::each(H, [&](int e, int64_t j) {
      x[e] = stats.normalized(x[e]);
      if constexpr (Parameters) {
        gain_sums[e] += dz[e] * x[e];
        bias_sums[e] += dz[e];
      }
      dz[e] = gradient_of_y(a, dz[e], x[e], j);
      sum += dz[e];
      sum_y += dz[e] * x[e];
    });
    const T all = reducer.sum(sum), all_y = reducer.sum(sum_y);
    if (!inside || !a.dx) continue;
    const Through<T> through = through_stats(a, stats, all, all_y);
    S::each(H, [&](int e, int64_t) {
      dz[e] = stats.rstd * (dz[e] - through.mean - x[e] * through.scale);
    });
    S::store(a.dx + at, H, dz);
  }
  if constexpr (Parameters) {
    const int64_t part = static_cast<int64_t>(blockIdx.x) * RowsPerBlock + threadIdx.y;
    T* to = a.partials + part * 2 * a.H;
    S::store(to, a.H, gain_sums);
    S::store(to + a.H, a.H, bias_sums);
  }
}

// --- long rows --------------------------------------------------------------------------------

constexpr int kLongThreads = 1024;

/// This thread's part of sum(value(j)) over a row, and the block's total of it.
template <class T, class Value>
__device__ T long_sum(RowReducer<T, kLongThreads, 1>& reducer, int64_t H, const Value& value) {
  T sum = 0;
  for (int64_t j = threadIdx.x; j < H; j += kLongThreads) sum += value(j);
  return reducer.sum(sum);
}

template <class T>
__global__ void __launch_bounds__(kLongThreads) forward_long(NormArgs<T> a) {
  __shared__ RowReducer<T, kLongThreads, 1> reducer;
  const int64_t row = blockIdx.x;
  const T* x = a.x + row * a.H;
  T* z = a.z + row * a.H;
  T mean = 0, off = 0;
  if (a.scale == Scale::std) {
    mean = long_sum(reducer, a.H, [&](int64_t j) { return x[j]; }) / static_cast<T>(a.H);
    off = long_sum(reducer, a.H, [&](int64_t j) { return x[j] - mean; }) / static_cast<T>(a.H);
  }
  const T squares = long_sum(reducer, a.H, [&](int64_t j) {
    const T d = x[j] - mean - off;
    return d * d;
  });
  const RowStats<T> stats = stats_of(a, mean, off, squares);
  if (threadIdx.x == 0) keep_stats(a, row, stats);
  for (int64_t j = threadIdx.x; j < a.H; j += kLongThreads)
    z[j] = output_of(a, x[j], stats.normalized(x[j]), j);
}

template <class T>
__global__ void __launch_bounds__(kLongThreads) backward_long(NormArgs<T> a) {
  __shared__ RowReducer<T, kLongThreads, 1> reducer;
  const int64_t row = blockIdx.x;
  const T *x = a.x + row * a.H, *dz = a.dz + row * a.H;
  T* dx = a.dx + row * a.H;
  const RowStats<T> stats = kept_stats(a, row);
  T sum = 0, sum_y = 0;
  for (int64_t j = threadIdx.x; j < a.H; j += kLongThreads) {
    const T y = stats.normalized(x[j]), dy = gradient_of_y(a, dz[j], y, j);
    sum += dy;
    sum_y += dy * y;
  }
  const T all = reducer.sum(sum), all_y = reducer.sum(sum_y);
  const Through<T> through = through_stats(a, stats, all, all_y);
  for (int64_t j = threadIdx.x; j < a.H; j += kLongThreads) {
    const T y = stats.normalized(x[j]);
    dx[j] = stats.rstd * (gradient_of_y(a, dz[j], y, j) - through.mean - y * through.scale);
  }
}

/// Partial sums for the parameters: one column a thread, the rows of part blockIdx.y.
template <class T>
__global__ void parameter_sums_long(NormArgs<T> a) {
  const int64_t j = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (j >= a.H) return;
  T gain = 0, bias = 0;
  for (int64_t row = blockIdx.y; row < a.rows; row += gridDim.y) {
    const T dz = a.dz[row * a.H + j];
    gain += dz * kept_stats(a, row).normalized(a.x[row * a.H + j]);
    bias += dz;
  }
  T* to = a.partials + static_cast<int64_t>(blockIdx.y) * 2 * a.H;
  to[j] = gain;
  to[a.H + j] = bias;
}

// --- the parameters' gradients ----------------------------------------------------------------

/// [parts, 2, H] summed over the parts, in order.
template <class T>
__global__ void sum_parts(NormArgs<T> a, int64_t parts) {
  const int64_t j = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (j >= a.H) return;
  double gain = 0, bias = 0;
  for (int64_t part = 0; part < parts; ++part) {
    gain += a.partials[part * 2 * a.H + j];
    bias += a.partials[part * 2 * a.H + a.H + j];
  }
  if (a.dgain && !a.scalar_gain) a.dgain[j] = static_cast<T>(gain);
  if (a.dgain && a.scalar_gain) a.partials[j] = static_cast<T>(gain);
  if (a.dbias) a.dbias[j] = static_cast<T>(bias);
}

/// One gain for the whole row: the sum over its columns, in order.
template <class T>
__global__ void sum_columns(NormArgs<T> a) {
  __shared__ RowReducer<T, kLongThreads, 1> reducer;
  const T total = long_sum(reducer, a.H, [&](int64_t j) { return a.partials[j]; });
  if (threadIdx.x == 0) a.dgain[0] = total;
}

// --- launching --------------------------------------------------------------------------------

template <class T>
bool in_vectors(const NormArgs<T>& a, int V) {
  const auto aligned = [&](const void* p) {
    return reinterpret_cast<uintptr_t>(p) % (sizeof(T) * static_cast<size_t>(V)) == 0;
  };
  return a.H % V == 0 && aligned(a.x) && aligned(a.z) && aligned(a.dz) && aligned(a.dx) &&
         aligned(a.partials);
}

constexpr int kColumnThreads = 128;

/// Calls run<R, E, RowsPerBlock>() with the least that holds a row; false if none does.
template <class Run>
bool with_shape(int64_t H, const Run& run) {
  if (H <= 32 * 8)
    run.template operator()<32, 8, 8>();
  else if (H <= 128 * 8)
    run.template operator()<128, 8, 2>();
  else if (H <= 256 * 16)
    run.template operator()<256, 16, 1>();
  else if (H <= 512 * 32)
    run.template operator()<512, 32, 1>();
  else
    return false;
  return true;
}

template <class T, int V>
Failure forward(const NormArgs<T>& a) {
  Failure failure = nullptr;
  const bool done = with_shape(a.H, [&]<int R, int E, int Rows>() {
    failure =
        launch(forward_in_registers<T, R, E, V, Rows>, blocks_for(a.rows, Rows), dim3(R, Rows), a);
  });
  if (done) return failure;
  return launch(forward_long<T>, static_cast<unsigned>(a.rows), kLongThreads, a);
}

template <class T, int V>
Failure backward(const NormArgs<T>& a, int64_t parts) {
  const bool parameters = a.dgain || a.dbias;
  Failure failure = nullptr;
  const bool done = with_shape(a.H, [&]<int R, int E, int Rows>() {
    const auto blocks = parameters ? static_cast<unsigned>(parts / Rows) : blocks_for(a.rows, Rows);
    failure = launch(parameters ? backward_in_registers<T, R, E, V, Rows, true>
                                : backward_in_registers<T, R, E, V, Rows, false>,
                     blocks, dim3(R, Rows), a);
  });
  if (done) return failure;
  if (a.dx) failure = launch(backward_long<T>, static_cast<unsigned>(a.rows), kLongThreads, a);
  if (failure || !parameters) return failure;
  const dim3 grid(blocks_for(a.H, kColumnThreads), static_cast<unsigned>(parts));
  return launch(parameter_sums_long<T>, grid, kColumnThreads, a);
}

template <class T>
Failure sum_parameters(const NormArgs<T>& a, int64_t parts) {
  const Failure failure =
      launch(sum_parts<T>, blocks_for(a.H, kColumnThreads), kColumnThreads, a, parts);
  if (failure || !a.dgain || !a.scalar_gain) return failure;
  return launch(sum_columns<T>, 1, kLongThreads, a);
}

int64_t norm_parts(int64_t rows, int64_t H) {
  const int64_t most = int64_t{multiprocessors()} * 2;
  int64_t parts = rows < most ? rows : most;  // long rows: a row or more each
  with_shape(H, [&]<int R, int, int Rows>() {
    constexpr int64_t kBlocksPerMultiprocessor = 1024 / (R * Rows);
    const int64_t blocks = multiprocessors() * kBlocksPerMultiprocessor,
                  needed = (rows + Rows - 1) / Rows;
    parts = Rows * (needed < blocks ? needed : blocks);
  });
  return parts;
}

template <class T>
Failure norm_forward(const NormArgs<T>& a) {
  constexpr int V = 16 / sizeof(T);
  if (a.rows == 0 || a.H == 0) return nullptr;
  return in_vectors(a, V) ? forward<T, V>(a) : forward<T, 1>(a);
}

template <class T>
Failure norm_backward(const NormArgs<T>& a, int64_t parts) {
  constexpr int V = 16 / sizeof(T);
  if (a.rows == 0 || a.H == 0) return nullptr;
  const Failure failure = in_vectors(a, V) ? backward<T, V>(a, parts) : backward<T, 1>(a, parts);
  if (failure || !(a.dgain || a.dbias)) return failure;
  return sum_parameters(a, parts);
}

}  // namespace

const NormFunctions norm_functions = {
    .forward_float = norm_forward<float>,
    .forward_double = norm_forward<double>,
    .parts = norm_parts,
    .backward_float = norm_backward<float>,
    .backward_double = norm_backward<double>,
};

}  // namespace normlab::cuda
