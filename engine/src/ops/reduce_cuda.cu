#include <cmath>
#include <type_traits>

#include "cuda/elements.h"
#include "ops/reduce_cuda.h"

// x [outer, n, inner] over n. A block makes some results, `lanes` threads each; many elements for
// few results are cut in parts, whose results a second launch reduces in order.

namespace normlab::cuda {
namespace {

// --- what is reduced ----------------------------------------------------------------------------

/// A sum's accumulator: float64 costs nothing beside the memory's traffic.
template <class T>
using sum_t = std::conditional_t<std::is_floating_point_v<compute_t<T>>, double, int64_t>;

template <class T, class Real = T>
struct Sum {
  using Total = sum_t<T>;
  static constexpr bool kReal = std::is_floating_point_v<compute_t<T>>;
  using Result = std::conditional_t<kReal, Real, int64_t>;
  const T* x;
  double scale;
  Result* z;

  static __device__ Total none() { return 0; }
  __device__ void take(Total& total, int64_t at, int64_t, int64_t) const {
    total += static_cast<Total>(widened(x[at]));
  }
  static __device__ Total joined(Total a, Total b) { return a + b; }
  __device__ void finish(int64_t k, Total total) const {
    if constexpr (kReal) total *= scale;
    z[k] = static_cast<Result>(static_cast<compute_t<Result>>(total));
  }
};

template <class T>
struct SumOfSquares : Sum<T> {
  const T* center;
  __device__ void take(double& total, int64_t at, int64_t, int64_t k) const {
    const T d = this->x[at] - center[k];
    total += static_cast<double>(d * d);
  }
};

template <class T>
struct Max {
  struct Total {
    T value;
    int64_t place;  ///< -1: nothing yet
  };
  const T* x;
  T* z;
  int64_t* places;

  static __device__ bool is_nan(T v) { return v != v; }
  static __device__ Total none() { return {T{}, -1}; }
  __device__ void take(Total& total, int64_t at, int64_t i, int64_t) const {
    total = joined(total, {x[at], i});
  }
  /// The greater; of equals, and of NaNs, the first.
  static __device__ Total joined(Total a, Total b) {
    if (a.place < 0 || b.place < 0) return a.place < 0 ? b : a;
    const bool same = a.value == b.value || (is_nan(a.value) && is_nan(b.value));
    if (same) return a.place < b.place ? a : b;
    const bool greater = is_nan(a.value) || (!is_nan(b.value) && a.value > b.value);
    return greater ? a : b;
  }
  __device__ void finish(int64_t k, Total total) const {
    z[k] = total.value;
    places[k] = total.place;
  }
};

/// The parts' results, [outer * inner, n], reduced by what made them.
template <class Op>
struct Again : Op {
  const typename Op::Total* parts;
  __device__ void take(typename Op::Total& total, int64_t at, int64_t, int64_t) const {
    total = Op::joined(total, parts[at]);
  }
};

// --- the kernel ---------------------------------------------------------------------------------

constexpr int kThreads = 256;

/// Threads and blocks of one reduction.
struct Distribution {
  AxisView view;
  int lanes;     ///< threads that share a result, a power of two
  bool rows;     ///< neighbouring threads share a result, else they have neighbouring results
  int64_t part;  ///< elements of a part
  int64_t parts;

  int64_t results() const { return view.outer * view.inner; }
  int64_t blocks() const { return (results() * lanes + kThreads - 1) / kThreads; }
};

/// Results blockIdx.x * kThreads / lanes and following, part blockIdx.y of each.
template <class Op>
__global__ void __launch_bounds__(kThreads)
    reduce_kernel(const __grid_constant__ Distribution at, Op op, typename Op::Total* partials) {
  using Total = typename Op::Total;
  __shared__ Total shared[kThreads];
  const int thread = static_cast<int>(threadIdx.x), each = kThreads / at.lanes;
  const int lane = at.rows ? thread % at.lanes : thread / each;
  const int64_t k =
      static_cast<int64_t>(blockIdx.x) * each + (at.rows ? thread / at.lanes : thread % each);
  const bool inside = k < at.view.outer * at.view.inner;
  Total total = Op::none();
  if (inside) {
    const int64_t first = blockIdx.y * at.part;
    const int64_t n = at.view.n, inner = at.view.inner;
    const int64_t end = first + at.part < n ? first + at.part : n;
    const int64_t base = inner == 1 ? k * n : k / inner * n * inner + k % inner;
#pragma unroll 8
    for (int64_t i = first + lane; i < end; i += at.lanes) op.take(total, base + i * inner, i, k);
  }
  // Threads of a result lie `step` apart.
  const int step = at.rows ? 1 : each;
  shared[thread] = total;
  for (int half = at.lanes / 2; half > 0; half /= 2) {
    __syncthreads();
    if (lane < half) shared[thread] = Op::joined(shared[thread], shared[thread + half * step]);
  }
  if (lane > 0 || !inside) return;
  if (at.parts == 1)
    op.finish(k, shared[thread]);
  else
    partials[k * at.parts + blockIdx.y] = shared[thread];
}

// --- launching ----------------------------------------------------------------------------------

constexpr int64_t kMostParts = 1024;

/// Depends on the shape alone.
Distribution distribution_of(AxisView view) {
  const int64_t n = view.n;
  Distribution at{view, 1, view.inner == 1 && n >= 32, n, 1};
  if (at.rows)
    at.lanes = n > 1024 ? kThreads : 32;
  else if (n > 8)
    at.lanes = 8;
  // Parts of 64 elements a thread or more, unless there are blocks enough without.
  const int64_t smallest = at.lanes * (at.rows ? 64 : 16), blocks = at.blocks();
  const int64_t most = blocks < kMostParts ? kMostParts / (blocks > 0 ? blocks : 1) : 1;
  const int64_t wanted = n / smallest < most ? n / smallest : most;
  if (wanted < 2) return at;
  at.part = (n + wanted - 1) / wanted;
  at.parts = (n + at.part - 1) / at.part;
  return at;
}

int64_t scratch(AxisView view) {
  const Distribution at = distribution_of(view);
  return at.parts > 1 ? at.results() * at.parts * static_cast<int64_t>(2 * sizeof(int64_t)) : 0;
}

template <class Op>
Failure reduce(const Op& op, AxisView view, void* scratch) {
  using Total = typename Op::Total;
  static_assert(sizeof(Total) <= 2 * sizeof(int64_t));
  const Distribution at = distribution_of(view);
  if (at.results() == 0) return nullptr;
  auto* partials = static_cast<Total*>(scratch);
  const dim3 grid(static_cast<unsigned>(at.blocks()), static_cast<unsigned>(at.parts));
  const Failure failure = launch(reduce_kernel<Op>, grid, kThreads, at, op, partials);
  if (failure || at.parts == 1) return failure;
  const Distribution last{{at.results(), at.parts, 1}, 32, true, at.parts, 1};
  return launch(reduce_kernel<Again<Op>>, static_cast<unsigned>(last.blocks()), kThreads, last,
                Again<Op>{op, partials}, static_cast<Total*>(nullptr));
}

template <class Body>
Failure for_numbers(DType dtype, const Body& body) {
  return carries_gradient(dtype) ? for_floating(dtype, body) : for_integers(dtype, body);
}

Failure sum(DType dtype, const void* x, const void* center, AxisView view, double scale,
            void* scratch, DType z_dtype, void* z) {
  const auto run = [&]<class T, class Real = T>() {
    using Op = Sum<T, Real>;
    const Op op{static_cast<const T*>(x), scale, static_cast<typename Op::Result*>(z)};
    if constexpr (std::is_floating_point_v<T>)
      if (center) return reduce(SumOfSquares<T>{op, static_cast<const T*>(center)}, view, scratch);
    return reduce(op, view, scratch);
  };
  if (dtype != DType::bfloat16) return for_numbers(dtype, run);
  return z_dtype == DType::float32 ? run.template operator()<bfloat16, float>()
                                   : run.template operator()<bfloat16>();
}

Failure max(DType dtype, const void* x, AxisView view, void* scratch, void* z, int64_t* place) {
  return for_numbers(dtype, [&]<class T>() {
    const Max<T> op{static_cast<const T*>(x), static_cast<T*>(z), place};
    return reduce(op, view, scratch);
  });
}

// --- derivatives --------------------------------------------------------------------------------

template <class T>
struct VarBackward {
  const T *x, *mean, *dz;
  T scale;
  __device__ T operator()(int64_t at, int64_t, int64_t k) const {
    return scale * dz[k] * (x[at] - mean[k]);
  }
};
template <class T>
struct MaxBackward {
  const T* dz;
  const int64_t* place;
  __device__ T operator()(int64_t, int64_t i, int64_t k) const {
    return place[k] == i ? dz[k] : T(0);
  }
};

/// dx[at] = f(at, i, k) for the i-th of the elements that make result k.
template <class T, class F>
__global__ void __launch_bounds__(kElementThreads)
    spread_kernel(F f, const __grid_constant__ AxisView view, int64_t size, T* dx) {
  for (int64_t at = element_index(); at < size; at += element_step()) {
    const int64_t row = divide(at, view.inner), o = divide(row, view.n);
    dx[at] = f(at, row - o * view.n, o * view.inner + (at - row * view.inner));
  }
}

template <class T, class F>
Failure spread(const F& f, AxisView view, T* dx) {
  const int64_t size = view.outer * view.n * view.inner;
  if (size == 0) return nullptr;
  return launch(spread_kernel<T, F>, element_blocks(size), kElementThreads, f, view, size, dx);
}

Failure var_backward(DType dtype, const void* x, const void* mean, const void* dz, AxisView view,
                     double scale, void* dx) {
  return for_floating(dtype, [&]<class T>() {
    const VarBackward<T> f{static_cast<const T*>(x), static_cast<const T*>(mean),
                           static_cast<const T*>(dz), static_cast<T>(scale)};
    return spread(f, view, static_cast<T*>(dx));
  });
}

Failure max_backward(DType dtype, const void* dz, const int64_t* place, AxisView view, void* dx) {
  return for_floating(dtype, [&]<class T>() {
    return spread(MaxBackward<T>{static_cast<const T*>(dz), place}, view, static_cast<T*>(dx));
  });
}

}  // namespace

template <class T>
Failure sum_columns(const T* from, int64_t rows, int64_t width, T* to) {
  if (width == 0) return nullptr;
  const Distribution at{{1, rows, width}, 32, false, rows, 1};
  return launch(reduce_kernel<Sum<T>>, static_cast<unsigned>(at.blocks()), kThreads, at,
                Sum<T>{from, 1, to}, static_cast<double*>(nullptr));
}
template Failure sum_columns(const float*, int64_t, int64_t, float*);
template Failure sum_columns(const double*, int64_t, int64_t, double*);

const ReduceFunctions reduce_functions = {
    .scratch = scratch,
    .sum = sum,
    .max = max,
    .var_backward = var_backward,
    .max_backward = max_backward,
};

}  // namespace normlab::cuda
