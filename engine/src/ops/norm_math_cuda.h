#pragma once

#include <cstring>

#include "cuda/launch.h"
#include "ops/norm_cuda.h"
#include "ops/norm_stats.h"

// Common to the norm's kernels: one element's arithmetic, and reading elements and parameters. The
// traits are the same for every thread, so their branches cost little beside the memory.

namespace normlab::cuda {

// --- reading and writing ----------------------------------------------------------------------

template <size_t kBytes>
struct RawBytes;
template <>
struct RawBytes<2> {
  using type = unsigned short;
};
template <>
struct RawBytes<4> {
  using type = unsigned;
};
template <>
struct RawBytes<8> {
  using type = unsigned long long;
};
template <>
struct RawBytes<16> {
  using type = uint4;
};

/// The bits of V neighbours: what one load brings.
template <class T, int V>
using raw_t = typename RawBytes<sizeof(T) * V>::type;

/// Two bfloat16 at once take an instruction or two; one by one, with integers, seven and more: that
/// would keep bfloat16's rows from the memory's rate.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
template <class T, int V>
constexpr bool kInPairs = std::is_same_v<T, bfloat16>&& V % 2 == 0;
#else
template <class T, int V>
constexpr bool kInPairs = false;
#endif

template <class T, int V, class A>
__device__ void unpack(const raw_t<T, V>& raw, A (&values)[V]) {
  if constexpr (kInPairs<T, V>) {
    unsigned pairs[V / 2];
    memcpy(pairs, &raw, sizeof raw);
#pragma unroll
    for (int k = 0; k < V / 2; ++k) {
      values[2 * k] = __uint_as_float(pairs[k] << 16);
      values[2 * k + 1] = __uint_as_float(pairs[k] & 0xffff0000u);
    }
  } else {
    T stored[V];
    memcpy(stored, &raw, sizeof raw);
#pragma unroll
    for (int k = 0; k < V; ++k) values[k] = static_cast<A>(stored[k]);
  }
}

template <class T, int V, class A>
__device__ raw_t<T, V> pack(const A (&values)[V]) {
  raw_t<T, V> raw;
  if constexpr (kInPairs<T, V>) {
    unsigned pairs[V / 2];
#pragma unroll
    for (int k = 0; k < V / 2; ++k)  // the first operand goes to the upper half
      asm("cvt.rn.bf16x2.f32 %0, %1, %2;"
          : "=r"(pairs[k])
          : "f"(values[2 * k + 1]), "f"(values[2 * k]));
    memcpy(&raw, pairs, sizeof raw);
  } else {
    T stored[V];
#pragma unroll
    for (int k = 0; k < V; ++k) stored[k] = static_cast<T>(values[k]);
    memcpy(&raw, stored, sizeof raw);
  }
  return raw;
}

template <class T, int V, class A>
__device__ void store_values(T* at, const A (&values)[V]) {
  *reinterpret_cast<raw_t<T, V>*>(at) = pack<T, V>(values);
}

/// V accumulators, at most 16 bytes at once. `turn` is 0, or as many as lie in 16 bytes where V is
/// twice that: then they lie the second half first.
template <int V, class A>
__device__ void load_accumulators(const A* at, A (&values)[V], int turn = 0) {
  constexpr int kAtOnce = V * sizeof(A) <= 16 ? V : static_cast<int>(16 / sizeof(A));
#pragma unroll
  for (int k = 0; k < V; k += kAtOnce) {
    const auto raw = *reinterpret_cast<const raw_t<A, kAtOnce>*>(at + (k ^ turn));
    memcpy(values + k, &raw, sizeof raw);
  }
}
/// As load_accumulators(), of memory that no thread writes meanwhile: the loads need not wait for
/// stores before them.
template <int V, class A>
__device__ void load_constants(const A* at, A (&values)[V]) {
  constexpr int kAtOnce = V * sizeof(A) <= 16 ? V : static_cast<int>(16 / sizeof(A));
#pragma unroll
  for (int k = 0; k < V; k += kAtOnce) {
    const auto raw = __ldg(reinterpret_cast<const raw_t<A, kAtOnce>*>(at + k));
    memcpy(values + k, &raw, sizeof raw);
  }
}
template <int V, class A>
__device__ void store_accumulators(A* at, const A (&values)[V], int turn = 0) {
  constexpr int kAtOnce = V * sizeof(A) <= 16 ? V : static_cast<int>(16 / sizeof(A));
#pragma unroll
  for (int k = 0; k < V; k += kAtOnce) {
    raw_t<A, kAtOnce> raw;
    memcpy(&raw, values + k, sizeof raw);
    *reinterpret_cast<raw_t<A, kAtOnce>*>(at + (k ^ turn)) = raw;
  }
}

/// Divides numbers below 2^32 by a fixed one, exactly, without dividing.
struct Divider {
  uint64_t magic;  ///< 2^64 / d, rounded up; 0 for d = 1

  explicit Divider(int64_t d) : magic(~uint64_t{0} / static_cast<uint64_t>(d) + 1) {}
  __device__ unsigned operator()(unsigned n) const {
    return magic == 0 ? n : static_cast<unsigned>(__umul64hi(magic, n));
  }
};

// --- parameters -------------------------------------------------------------------------------

/// The parameters of V columns; `absent` where there are none.
template <int V, class A>
__device__ void load_parameters(const A* p, int column, A absent, A (&values)[V]) {
  if (p) {
    load_constants<V>(p + column, values);
    return;
  }
#pragma unroll
  for (int k = 0; k < V; ++k) values[k] = absent;
}

/// Which parameter an element of a row has: one a column, or, with kGeneral, one a segment of the
/// row, as it may be.
template <bool kGeneral>
struct ParameterPlace {
  bool by_column = true, one_a_row = false;
  unsigned length = 0;  ///< of a segment
  int64_t first = 0;    ///< the row's first parameter
  Divider segment;

  template <class T>
  __device__ ParameterPlace(const NormProblem<T>& a, int64_t row, Divider segment)
      : segment(segment) {
    if (!kGeneral || a.segment == 0) return;
    by_column = false;
    one_a_row = a.segment == a.H;
    length = static_cast<unsigned>(a.segment);
    first = row % a.groups * (a.H / a.segment);
  }

  template <int V, class A>
  __device__ void load(const A* p, int column, A absent, A (&values)[V]) const {
    if constexpr (kGeneral) {
      if (p && !by_column) {
        if (V == 1 || one_a_row || length % V == 0) {  // neighbours share one
          const A own = __ldg(p + (one_a_row ? first : first + segment(column)));
#pragma unroll
          for (int k = 0; k < V; ++k) values[k] = own;
        } else if constexpr (V > 1) {
#pragma unroll
          for (int k = 0; k < V; ++k) values[k] = __ldg(p + first + segment(column + k));
        }
        return;
      }
    }
    load_parameters<V>(p, column, absent, values);
  }
};

// --- one row's numbers ------------------------------------------------------------------------

/// topk: all above `high` becomes `high`, all below `low` becomes `low`. Only with kGeneral.
template <class A, bool kGeneral>
struct Clamp {
  bool wanted = false;
  A high = 0, low = 0;

  template <class T>
  __device__ Clamp(const NormProblem<T>& a, int64_t row) {
    if (!kGeneral || !a.extremes) return;
    wanted = true;
    high = static_cast<A>(a.x[row * a.H + a.extremes[2 * row]]);
    low = static_cast<A>(a.x[row * a.H + a.extremes[2 * row + 1]]);
  }
  __device__ bool on() const { return kGeneral && wanted; }
  __device__ bool below(A x) const { return x < low; }
  __device__ bool above(A x) const { return x > high && x > low; }
  template <int V>
  __device__ void apply(A (&x)[V]) const {
    if (!on()) return;
#pragma unroll
    for (int k = 0; k < V; ++k) x[k] = x[k] <= low ? low : x[k] > high ? high : x[k];
  }
};

/// Statistics that a kernel has computed.
template <class A>
struct FoundStats : RowStats<A> {
  A var;  ///< of x, as the scale has it
};

/// dx of V elements from what it is per unit of the row's factor.
template <int V, class A>
__device__ void scale_back(const RowStats<A>& s, A (&dx)[V]) {
  if (s.factor == 1) return;
#pragma unroll
  for (int k = 0; k < V; ++k) dx[k] *= s.factor;
}

/// From the mean as rounded, what rounding it lost, and the squared deviations from the mean
/// proper. `right` becomes false where the range of A does not do; NaN does not either.
template <class T, class A>
__device__ FoundStats<A> stats_of(const NormProblem<T>& a, A mean, A lost, A squares, bool& right) {
  using Range = NormRange<A>;
  if (squares < 0) squares = 0;  // NaN stays
  const A n = static_cast<A>(a.scale_count()), var = squares / n;
  const A sigma = sigma_of(var, static_cast<A>(a.settings.eps), a.var_eps());
  right = sigma >= Range::least && sigma <= Range::most &&
          (lost == 0 || var > (Range::flat * mean) * (Range::flat * mean));
  const A rstd = 1 / sigma;
  return {{mean, rstd, -lost * rstd, coef_of(n, var, sigma, a.var_eps()), 1}, var};
}

/// Statistics of factor * x in double, for a row that leaves NormRange.
template <class A>
__device__ FoundStats<A> careful_stats_of(const NormDivisor& divisor, A factor, double mean,
                                          double lost, double squares) {
  NormMoments moments;
  const RowStats<A> s = divisor.stats_of<A>(factor, mean, lost, squares, moments);
  return {s, static_cast<A>(moments.var)};
}

/// Mean of x, with what rounding lost.
template <class A>
__device__ double mean_of(const RowStats<A>& s) {
  const double lost = s.rstd > 0 ? static_cast<double>(s.shift) / static_cast<double>(s.rstd) : 0.0;
  return (static_cast<double>(s.mean) - lost) / static_cast<double>(s.factor);
}

template <class T, class A>
__device__ void keep_found(const NormProblem<T>& a, int64_t row, const FoundStats<A>& s) {
  keep_stats(a, row, s);
  if (a.moments) a.moments[row] = {mean_of(s), static_cast<double>(s.var)};
}

/// phi = C (1 - k y).
template <class T, class A>
__device__ A phi_of(const NormProblem<T>& a, A y) {
  return static_cast<A>(a.settings.C) * (1 - static_cast<A>(a.settings.k) * y);
}

/// Puts phi in the gains' place where that is the variant's output: by one branch for V elements.
template <int V, class T, class A>
__device__ void adapt(const NormProblem<T>& a, const A (&y)[V], A (&w)[V]) {
  if (a.traits.output != Output::adaptive) return;
#pragma unroll
  for (int k = 0; k < V; ++k) w[k] = phi_of(a, y[k]);
}

/// z from x and y; w and b are gain and bias.
template <class T, class A>
__device__ A output_of(const NormProblem<T>& a, A x, A y, A w, A b) {
  if (a.traits.output == Output::adaptive) return phi_of(a, y) * y;
  const A z = y * w + b;
  return a.traits.output == Output::residual ? x + z : z;
}

/// The gradient of y, but for a gain that the whole row shares.
template <class T, class A>
__device__ A gradient_of_y(const NormProblem<T>& a, A dz, A y, A w) {
  return a.traits.output == Output::adaptive ? dz * phi_of(a, y) : dz * w;
}

/// For what each file instantiates.
#define NORMLAB_FOR_NORM_TYPES(instantiate) \
  instantiate(float) instantiate(double) instantiate(bfloat16)

// --- the steps beside the main kernels -----------------------------------------------------------

/// norm_forward_cuda.cu, norm_backward_cuda.cu: statistics along a row.
template <class T>
Failure rows_forward(const NormProblem<T>& a);
template <class T>
int64_t rows_backward_scratch(const NormProblem<T>& a);
template <class T>
Failure rows_backward(const NormProblem<T>& a);

/// norm_topk_cuda.cu: fills extremes.
template <class T>
Failure find_extremes(const NormProblem<T>& a);

/// norm_parameters_cuda.cu: partials [parts, 2, width] and alphas [n] summed in order, into dgain,
/// dbias and dalpha, as far as they are wanted.
template <class T>
Failure sum_parts(const NormProblem<T>& a, const accumulate_t<T>* partials, int64_t parts,
                  int64_t width, const accumulate_t<T>* alphas = nullptr, int64_t n = 0);
/// As sum_parts(), from x and dz of rows whose parameters change from segment to segment.
template <class T>
int64_t segment_scratch(const NormProblem<T>& a);
template <class T>
Failure sum_segments(const NormProblem<T>& a);
/// As sum_parts(), for rows too long for the main kernel.
template <class T>
int64_t column_scratch(const NormProblem<T>& a);
template <class T>
Failure sum_long_columns(const NormProblem<T>& a);

/// norm_tanh_cuda.cu: no statistics.
template <class T>
Failure tanh_forward(const NormProblem<T>& a);
template <class T>
int64_t tanh_scratch(const NormProblem<T>& a);
template <class T>
Failure tanh_backward(const NormProblem<T>& a);

/// norm_batch_cuda.cu: one channel over all rows and places.
template <class T>
int64_t batch_scratch(const NormProblem<T>& a);
template <class T>
Failure batch_forward(const NormProblem<T>& a);
template <class T>
Failure batch_backward(const NormProblem<T>& a);
/// Takes the moments of [outer, channels] rows into the channels' running statistics.
template <class T>
Failure update_running_of_rows(const NormProblem<T>& a);

}  // namespace normlab::cuda
