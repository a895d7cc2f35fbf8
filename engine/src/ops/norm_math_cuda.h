#pragma once

#include <cstring>

#include "cuda/launch.h"
#include "ops/norm_cuda.h"
#include "ops/norm_range.h"

// What the norm's kernels share: one element's arithmetic, and how elements and parameters are
// read. The traits are the same for every thread, so their branches cost little beside the memory.

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
/// The same of what no thread writes meanwhile: such loads need not wait for stores before them.
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
  __device__ ParameterPlace(const NormArgs<T>& a, int64_t row, Divider segment) : segment(segment) {
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
  __device__ Clamp(const NormArgs<T>& a, int64_t row) {
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

/// y = ((x * factor - mean) - off) * rstd: one multiplication more than without the factor, fused
/// with the difference. For a row of equal elements the difference is exactly zero.
template <class A>
struct RowStats {
  A mean, off, rstd, coef, factor;
  A var;  ///< of x, as the scale has it; forward only
  __device__ A normalized(A x) const { return ((x * factor - mean) - off) * rstd; }

  /// dx of V elements from what it is per unit of the factor.
  template <int V>
  __device__ void scale_back(A (&dx)[V]) const {
    if (factor == 1) return;
#pragma unroll
    for (int k = 0; k < V; ++k) dx[k] *= factor;
  }
};

/// What the squares are divided by for the scale.
template <class T, class A = accumulate_t<T>>
__device__ A scale_count(const NormArgs<T>& a) {
  const A H = static_cast<A>(a.H);
  return a.scale == Scale::l2 ? A(1) : a.scale == Scale::std && !a.var_eps ? H - 1 : H;
}

/// From the mean as rounded, what rounding it lost, and the squared deviations from the mean
/// proper; the scale's share of the gradient is coef * y * sum(dy * y). `right` becomes false where
/// the range of A does not do; NaN does not either.
template <class T, class A>
__device__ RowStats<A> stats_of(const NormArgs<T>& a, A mean, A off, A squares, bool& right) {
  using Range = NormRange<A>;
  if (squares < 0) squares = 0;  // NaN stays
  const A n = scale_count(a), var = squares / n;
  A sigma, coef;
  if (a.var_eps) {
    sigma = sqrt(var + a.eps);
    coef = 1 / n;
  } else {
    const A root = sqrt(var);
    sigma = root + a.eps;
    coef = root > 0 ? sigma / (n * root) : A(0);
  }
  right = sigma >= Range::least && sigma <= Range::most &&
          (off == 0 || var > (Range::flat * mean) * (Range::flat * mean));
  return {mean, off, 1 / sigma, coef, 1, var};
}

/// What a row's scale is made of beside the row.
struct Divisor {
  double n, eps;
  bool centred, var_eps;

  template <class T>
  explicit __device__ Divisor(const NormArgs<T>& a)
      : n(static_cast<double>(scale_count(a))),
        eps(a.exact_eps),
        centred(a.scale == Scale::std),
        var_eps(a.var_eps) {}
  /// What eps adds to sigma.
  __device__ double floor() const { return var_eps ? sqrt(eps) : eps; }

  /// The power of two that brings a row into NormRange.
  template <class A>
  __device__ A factor_of(A most, A spread) const {
    if (!(most - most == 0)) return 1;  // NaN or infinite
    return static_cast<A>(factor_into_range<NormRange<A>>(most, spread, floor()));
  }
  /// stats_of(), of factor * x.
  template <class A>
  __device__ RowStats<A> stats_of(A factor, double mean, double squares) const {
    const double var = (squares < 0 ? 0.0 : squares) / n, root = sqrt(var), f = factor;
    const double sigma = !var_eps      ? root + eps * f
                         : factor == 1 ? sqrt(var + eps)
                                       : hypot(root, floor() * f);
    const double coef = var_eps ? 1 / n : root > 0 ? sigma / (n * root) : 0.0;
    const A rounded = static_cast<A>(mean);
    // Of equal elements without eps sigma is 0, and y and dx with it.
    return {rounded,
            static_cast<A>(mean - static_cast<double>(rounded)),
            sigma == 0 ? A(0) : bounded<A>(1 / sigma),
            bounded<A>(coef),
            factor,
            static_cast<A>(var / f / f)};
  }

 private:
  /// No more than A holds: what it multiplies is zero then, or the product infinite anyway.
  template <class A>
  static __device__ A bounded(double v) {
    constexpr double kMost = sizeof(A) == sizeof(double) ? 0x1.fffffffffffffp1023 : 0x1.fffffep127;
    return static_cast<A>(v > kMost ? kMost : v);
  }
};

template <class T, class A>
__device__ void keep_stats(const NormArgs<T>& a, int64_t row, const RowStats<A>& s) {
  a.mean[row] = s.mean;
  a.off[row] = s.off;
  a.rstd[row] = s.rstd;
  a.coef[row] = s.coef;
  a.factor[row] = s.factor;
  if (a.updates_running && !a.batch) a.scratch[row] = s.var;
}

template <class T>
__device__ RowStats<accumulate_t<T>> kept_stats(const NormArgs<T>& a, int64_t row) {
  return {a.mean[row], a.off[row], a.rstd[row], a.coef[row], a.factor[row], 0};
}

/// Puts phi in the gains' place where that is the variant's output: by one branch for V elements.
template <int V, class T, class A>
__device__ void adapt(const NormArgs<T>& a, const A (&y)[V], A (&w)[V]) {
  if (a.output != Output::adaptive) return;
#pragma unroll
  for (int k = 0; k < V; ++k) w[k] = a.C * (1 - a.k * y[k]);
}

/// z from x and y; w and b are gain and bias.
template <class T, class A>
__device__ A output_of(const NormArgs<T>& a, A x, A y, A w, A b) {
  if (a.output == Output::adaptive) return a.C * (1 - a.k * y) * y;
  const A z = y * w + b;
  return a.output == Output::residual ? x + z : z;
}

/// The gradient of y, but for a gain that the whole row shares.
template <class T, class A>
__device__ A gradient_of_y(const NormArgs<T>& a, A dz, A y, A w) {
  return a.output == Output::adaptive ? dz * (a.C * (1 - a.k * y)) : dz * w;
}

/// How much the mean and the scale take from every dx of the row, per rstd.
template <class A>
struct Through {
  A mean, scale;
};

template <class T, class A>
__device__ Through<A> through_stats(const NormArgs<T>& a, const RowStats<A>& s, A sum, A sum_y) {
  return {a.via_mean ? sum / static_cast<A>(a.H) : A(0), a.via_scale ? sum_y * s.coef : A(0)};
}

// --- the steps beside the main kernels -----------------------------------------------------------

/// norm_topk_cuda.cu: fills extremes.
template <class T>
Failure find_extremes(const NormArgs<T>& a);

/// norm_parameters_cuda.cu: partials [parts, 2, width] and alphas [n] summed in order, into dgain,
/// dbias and dalpha, as far as they are wanted.
template <class T>
Failure sum_parts(const NormArgs<T>& a, const accumulate_t<T>* partials, int64_t parts,
                  int64_t width, const accumulate_t<T>* alphas = nullptr, int64_t n = 0);
/// The same from x and dz of rows whose parameters change from segment to segment.
template <class T>
int64_t segment_scratch(const NormArgs<T>& a);
template <class T>
Failure sum_segments(const NormArgs<T>& a);
/// The same for rows too long for the main kernel to do it.
template <class T>
int64_t column_scratch(const NormArgs<T>& a);
template <class T>
Failure sum_long_columns(const NormArgs<T>& a);

/// norm_tanh_cuda.cu: no statistics.
template <class T>
Failure tanh_forward(const NormArgs<T>& a);
template <class T>
int64_t tanh_scratch(const NormArgs<T>& a);
template <class T>
Failure tanh_backward(const NormArgs<T>& a);

/// norm_batch_cuda.cu: one channel over all rows and places.
template <class T>
int64_t batch_scratch(const NormArgs<T>& a);
template <class T>
Failure batch_forward(const NormArgs<T>& a);
template <class T>
Failure batch_backward(const NormArgs<T>& a);
/// Takes what forward has kept of [outer, channels] rows, and their variances in scratch, into the
/// channels' running statistics.
template <class T>
Failure update_running_of_rows(const NormArgs<T>& a);

}  // namespace normlab::cuda
