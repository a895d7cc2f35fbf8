#include "cuda/row_reduce.h"
#include "ops/norm_cuda.h"
#include "ops/norm_math_cuda.h"

// batchnorm: a row is a channel of x [outer, channels, places], element e of it lies at place
// e % places of [e / places, channel]. A block has blockDim.x channels (one, or 32 where there is
// one place, so that neighbours are read together), blockDim.y threads each, and part blockIdx.y of
// their elements. Few elements take one kernel; else the parts' statistics come first.

namespace normlab::cuda {
namespace {

constexpr unsigned kThreads = 512;
constexpr int64_t kMostParts = 64;

/// A kernel's share of the work: all, the parts' sums, or the rest from these sums.
enum class Phase { whole, sums, rest };

/// An element of what no thread writes meanwhile.
template <class T>
__device__ accumulate_t<T> value_at(const T* x, int64_t at) {
  accumulate_t<T> value[1];
  unpack<T, 1>(__ldg(reinterpret_cast<const raw_t<T, 1>*>(x + at)), value);
  return value[0];
}

/// The elements of this thread.
template <class T>
struct Elements {
  using A = accumulate_t<T>;
  int64_t channel, channels, stride;
  unsigned begin, end, places;
  Divider by_places;

  __device__ Elements(const NormProblem<T>& a, Divider by_places, unsigned chunk)
      : channel(static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x),
        channels(a.rows),
        stride(a.rows * a.places),
        begin(blockIdx.y * chunk),
        end(begin + chunk < a.H ? begin + chunk : static_cast<unsigned>(a.H)),
        places(static_cast<unsigned>(a.places)),
        by_places(by_places) {}

  __device__ bool inside() const { return channel < channels; }
  __device__ int64_t offset(unsigned e) const {
    const unsigned n = by_places(e);
    return n * stride + channel * places + (e - n * places);
  }
  /// Calls body(offset, values) for each of them; values[k] is arrays[k]'s.
  template <int K, class Body>
  __device__ void each(const T* const (&arrays)[K], const Body& body) const {
    if (!inside()) return;
    // A batch's loads all come first, and without a condition: behind the end they read what the
    // first has read. An unrolled loop would wait for each before the next.
    constexpr unsigned kBatch = 8 / K;
    for (unsigned first = begin + threadIdx.y; first < end; first += kBatch * blockDim.y) {
      int64_t at[kBatch];
      A values[kBatch][K];
#pragma unroll
      for (unsigned i = 0; i < kBatch; ++i) {
        const unsigned e = first + i * blockDim.y;
        at[i] = offset(e < end ? e : first);
#pragma unroll
        for (int k = 0; k < K; ++k) values[i][k] = value_at(arrays[k], at[i]);
      }
#pragma unroll
      for (unsigned i = 0; i < kBatch; ++i)
        if (first + i * blockDim.y < end) body(at[i], values[i]);
    }
  }
};

/// Joins what a channel's threads have. Every thread of the block must call it.
template <class A, int K, class Join>
__device__ void join_channel(A (&values)[K], const Join& join) {
  __shared__ A room[K][kThreads];
  join_over_y(values, room, join);
}

template <class A, int K>
__device__ void sum_channel(A (&values)[K]) {
  join_channel(values, [](A a, A b) { return a + b; });
}

/// Mean, what rounding it lost, and squared deviations.
template <class A>
struct Moments {
  A mean, off, squares;
};

template <class T, class A = accumulate_t<T>>
__device__ Moments<A> own_moments(const NormProblem<T>& a, const Elements<T>& elements) {
  const A n = static_cast<A>(elements.end - elements.begin);
  A mean = 0;
  if (a.traits.centred()) {
    A total[1] = {0};
    elements.each({a.x}, [&](int64_t, const A(&x)[1]) { total[0] += x[0]; });
    sum_channel(total);
    mean = total[0] / n;
  }
  A total[2] = {0, 0};
  elements.each({a.x}, [&](int64_t, const A(&x)[1]) {
    const A d = x[0] - mean;
    total[0] += d;
    total[1] += d * d;
  });
  sum_channel(total);
  const A off = a.traits.centred() ? total[0] / n : A(0);
  return {mean, off, total[1] - off * off * n};
}

/// Moments of all parts, from [parts, 3, channels]: Chan, Golub & LeVeque 1983. A channel's threads
/// share the parts; every thread of the block must call it.
template <class T, class A = accumulate_t<T>>
__device__ Moments<A> merged_moments(const NormProblem<T>& a, int64_t channel, unsigned chunk) {
  const A H = static_cast<A>(a.H);
  const auto part = [&](unsigned i, int which) {
    return a.scratch[(int64_t{i} * 3 + which) * a.rows + channel];
  };
  const auto size = [&](unsigned i) {
    return static_cast<A>(i + 1 < gridDim.y ? chunk : a.H - int64_t{i} * chunk);
  };
  const auto over_parts = [&](const auto& of) {
    A total[1] = {0};
    for (unsigned i = threadIdx.y; i < gridDim.y; i += blockDim.y) total[0] += of(i);
    sum_channel(total);
    return total[0];
  };
  Moments<A> m{0, 0, 0};
  if (a.traits.centred()) {
    m.mean = over_parts([&](unsigned i) { return part(i, 0) * (size(i) / H); });
    // The products of equal elements are exact, and so is the quotient.
    m.off =
        over_parts([&](unsigned i) { return ((part(i, 0) - m.mean) + part(i, 1)) * size(i); }) / H;
  }
  m.squares = over_parts([&](unsigned i) {
    const A d = (part(i, 0) - m.mean) + part(i, 1) - m.off;
    return part(i, 2) + size(i) * d * d;
  });
  return m;
}

/// Statistics of a channel that leaves NormRange, summed in double around its first element, from
/// all of its elements whatever the block's part. Every thread of the block must call it.
template <class T, class A = accumulate_t<T>>
__device__ FoundStats<A> careful_stats(const NormProblem<T>& a, Elements<T> elements) {
  const NormDivisor divisor(a);
  elements.begin = 0;
  elements.end = static_cast<unsigned>(a.H);
  const double H = static_cast<double>(a.H);
  const bool centred = divisor.centred && elements.inside();
  const A first = centred ? value_at(a.x, elements.offset(0)) : A(0);
  A size[2] = {0, 0};
  elements.each({a.x}, [&](int64_t, const A(&x)[1]) {
    size[0] = fmax(size[0], fabs(x[0]));
    size[1] = fmax(size[1], fabs(x[0] - first));
  });
  join_channel(size, [](A a, A b) { return a > b ? a : b; });
  const A factor = static_cast<A>(divisor.factor_of<A>(size[0], size[1]));
  double mean = static_cast<double>(first * factor);
  double total[1] = {0};
  elements.each({a.x}, [&](int64_t, const A(&x)[1]) { total[0] += x[0] * factor - mean; });
  sum_channel(total);
  if (divisor.centred) mean += total[0] / H;
  double sums[2] = {0, 0};
  elements.each({a.x}, [&](int64_t, const A(&x)[1]) {
    const double d = x[0] * factor - mean;
    sums[0] += d;
    sums[1] += d * d;
  });
  sum_channel(sums);
  const double off = divisor.centred ? sums[0] / H : 0;
  return careful_stats_of(divisor, factor, mean, off, sums[1] - off * off * H);
}

/// running = (1 - momentum) running + momentum batch, with the unbiased variance: that of the
/// scale.
template <class T, class A>
__device__ void update_running(const NormProblem<T>& a, int64_t channel, A mean, A var) {
  const A momentum = static_cast<A>(a.settings.momentum);
  const auto mix = [&](A& running, A batch) {
    running = (1 - momentum) * running + momentum * batch;
  };
  mix(a.running_mean[channel], mean);
  const A H = static_cast<A>(a.H);
  if (a.var_eps() && a.H > 1) var *= H / (H - 1);
  mix(a.running_var[channel], var);
}

/// One channel a thread, of [outer, channels] rows.
template <class T>
__global__ void __launch_bounds__(kThreads) update_from_rows(NormProblem<T> a) {
  using A = accumulate_t<T>;
  const int64_t c = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (c >= a.groups) return;
  const double share = static_cast<double>(a.groups) / static_cast<double>(a.rows);
  double mean = 0, var = 0;
  for (int64_t row = c; row < a.rows; row += a.groups) {
    mean += share * a.moments[row].mean;
    var += share * a.moments[row].var;
  }
  update_running(a, c, static_cast<A>(mean), static_cast<A>(var));
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    forward_batch(NormProblem<T> a, Divider by_places, unsigned chunk, Phase phase) {
  using A = accumulate_t<T>;
  const Elements<T> elements(a, by_places, chunk);
  const int64_t c = elements.inside() ? elements.channel : 0;
  const bool first = elements.inside() && blockIdx.y == 0 && threadIdx.y == 0;
  FoundStats<A> stats;
  if (a.given_stats) {
    stats = {NormDivisor(a).given<A>(a.running_mean[c], a.running_var[c]), 0};
  } else {
    const Moments<A> m =
        phase == Phase::rest ? merged_moments(a, c, chunk) : own_moments(a, elements);
    if (phase == Phase::sums) {
      if (!elements.inside() || threadIdx.y > 0) return;
      A* to = a.scratch + int64_t{blockIdx.y} * 3 * a.rows + c;
      to[0] = m.mean;
      to[a.rows] = m.off;
      to[2 * a.rows] = m.squares;
      return;
    }
    bool right;
    stats = stats_of(a, m.mean, m.off, m.squares, right);
    if (__syncthreads_or(elements.inside() && !right)) {
      const FoundStats<A> careful = careful_stats(a, elements);
      if (!right) stats = careful;
    }
    if (first && a.updates_running) update_running(a, c, static_cast<A>(mean_of(stats)), stats.var);
  }
  if (first) keep_stats(a, c, stats);
  const A w = a.gain ? a.gain[c] : A(1), b = a.bias ? a.bias[c] : A(0);
  elements.each({a.x}, [&](int64_t at, const A(&x)[1]) {
    a.z[at] = static_cast<T>(output_of(a, x[0], stats.normalized(x[0]), w, b));
  });
}

template <class T>
__host__ __device__ bool needs_sums(const NormProblem<T>& a) {
  return a.via_mean() || a.via_scale() || a.dgain || a.dbias;
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    backward_batch(NormProblem<T> a, Divider by_places, unsigned chunk, Phase phase) {
  using A = accumulate_t<T>;
  const Elements<T> elements(a, by_places, chunk);
  const int64_t c = elements.inside() ? elements.channel : 0;
  const RowStats<A> stats = kept_stats(a, c);
  A total[2] = {0, 0};
  if (phase == Phase::rest) {
    for (unsigned i = threadIdx.y; i < gridDim.y; i += blockDim.y)
      for (int k = 0; k < 2; ++k) total[k] += a.scratch[(int64_t{i} * 2 + k) * a.rows + c];
    sum_channel(total);
  } else if (needs_sums(a)) {
    elements.each({a.x, a.dz}, [&](int64_t, const A(&values)[2]) {
      const A y = stats.normalized(values[0]);
      const A dy = gradient_of_y(a, values[1], y, A(1));
      total[0] += dy;
      total[1] += dy * y;
    });
    sum_channel(total);
  }
  if (phase == Phase::sums) {
    if (!elements.inside() || threadIdx.y > 0) return;
    for (int k = 0; k < 2; ++k) a.scratch[(int64_t{blockIdx.y} * 2 + k) * a.rows + c] = total[k];
    return;
  }
  if (elements.inside() && blockIdx.y == 0 && threadIdx.y == 0) {
    if (a.dgain) a.dgain[c] = total[1];
    if (a.dbias) a.dbias[c] = total[0];
  }
  if (!a.dx) return;
  const StatGradients<A> through(a, stats.coef, total[0], total[1]);
  const A rate = stats.rstd * (a.gain ? a.gain[c] : A(1));
  elements.each({a.x, a.dz}, [&](int64_t at, const A(&values)[2]) {
    const A y = stats.normalized(values[0]);
    const A dy = gradient_of_y(a, values[1], y, A(1));
    A dx[1] = {rate * (dy - through.via_mean - y * through.via_scale)};
    scale_back(stats, dx);
    a.dx[at] = static_cast<T>(dx[0]);
  });
}

// --- launching --------------------------------------------------------------------------------

struct Plan {
  dim3 grid, block;
  unsigned chunk;  ///< elements of a channel that a block has
};

template <class T>
Plan plan_of(const NormProblem<T>& a, bool one_kernel_is_enough) {
  constexpr int64_t kAtOnce = 32768, kChunk = 16384;
  const unsigned channels = a.places == 1 ? 32 : 1;
  const int64_t elements = a.H * channels;
  int64_t parts = elements <= kAtOnce && !one_kernel_is_enough ? 1 : blocks_for(elements, kChunk);
  // Few channels leave multiprocessors idle unless they are cut into more parts.
  const int64_t blocks = blocks_for(a.rows, channels),
                full = 4 * int64_t{multiprocessors()} / blocks;
  const int64_t most = full > kMostParts ? full : kMostParts;
  parts = parts < most ? parts : most;
  const unsigned chunk = blocks_for(a.H, parts);
  return {dim3(blocks_for(a.rows, channels), blocks_for(a.H, chunk)),
          dim3(channels, kThreads / channels), chunk};
}

template <class T, class Kernel>
Failure run(const NormProblem<T>& a, Kernel* kernel, bool one_kernel_is_enough) {
  const Plan plan = plan_of(a, one_kernel_is_enough);
  const auto phase = [&](Phase p) {
    return launch(kernel, plan.grid, plan.block, a, Divider(a.places), plan.chunk, p);
  };
  if (one_kernel_is_enough || plan.grid.y == 1) return phase(Phase::whole);
  const Failure failure = phase(Phase::sums);
  return failure ? failure : phase(Phase::rest);
}

}  // namespace

template <class T>
int64_t batch_scratch(const NormProblem<T>& a) {
  return plan_of(a, false).grid.y * 3 * a.rows;
}

template <class T>
Failure batch_forward(const NormProblem<T>& a) {
  return run(a, forward_batch<T>, a.given_stats);
}

template <class T>
Failure batch_backward(const NormProblem<T>& a) {
  return run(a, backward_batch<T>, !needs_sums(a));
}

template <class T>
Failure update_running_of_rows(const NormProblem<T>& a) {
  return launch(update_from_rows<T>, blocks_for(a.groups, kThreads), kThreads, a);
}

#define NORMLAB_INSTANTIATE(T)                            \
  template int64_t batch_scratch(const NormProblem<T>&);  \
  template Failure batch_forward(const NormProblem<T>&);  \
  template Failure batch_backward(const NormProblem<T>&); \
  template Failure update_running_of_rows(const NormProblem<T>&);
NORMLAB_FOR_NORM_TYPES(NORMLAB_INSTANTIATE)

}  // namespace normlab::cuda
