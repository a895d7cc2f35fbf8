#include <cmath>

#include "cuda/launch.h"
#include "cuda/row_reduce.h"
#include "cuda/value_check.h"
#include "ops/softmax_cuda.h"

// Softmax and cross entropy by rows, one kernel each way. Up to 8,192 elements a row lies in
// registers and comes from memory once.

namespace normlab::cuda {
namespace {

/// What one of R threads has of a row: E elements in registers, or all its elements in memory if E
/// is 0.
template <class T, int R, int E>
struct Elements {
  const T* row;
  int64_t n;
  compute_t<T> kept[E > 0 ? E : 1];

  __device__ Elements(const T* row, int64_t n) : row(row), n(n) {
#pragma unroll
    for (int i = 0; i < E; ++i) {
      const bool inside = column(i) < n;
      kept[i] = inside ? widened(row[column(i)]) : compute_t<T>(0);
    }
  }
  static __device__ int64_t column(int i) {
    return static_cast<int64_t>(i) * R + threadIdx.x;
  }

  /// Calls body(element, column) for each of them within the row.
  template <class Body>
  __device__ void each(const Body& body) const {
    if constexpr (E > 0) {
#pragma unroll
      for (int i = 0; i < E; ++i)
        if (column(i) < n) body(kept[i], column(i));
    } else {
      for (int64_t j = threadIdx.x; j < n; j += R) body(widened(row[j]), j);
    }
  }
};

/// The row of this thread and what it may touch of it: nothing beyond the last row, though all
/// threads of a block have to meet at its barriers.
struct Row {
  bool inside;
  int64_t index, begin, n;
  __device__ Row(int64_t rows, int64_t length) {
    const int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
    inside = row < rows;
    index = inside ? row : 0;
    begin = index * length;
    n = inside ? length : 0;
  }
};

/// The greatest of a row and the sum of exp(x - greatest).
template <class T>
struct Exponentials {
  T greatest, total;
  template <class Stored, int R, int E, class Reducer>
  __device__ Exponentials(const Elements<Stored, R, E>& x, Reducer& reducer) {
    T most = -static_cast<T>(INFINITY);
    x.each([&](T element, int64_t) { most = static_cast<T>(fmax(most, element)); });
    greatest = reducer.max(most);
    T sum = 0;
    x.each([&](T element, int64_t) { sum += exp(element - greatest); });
    total = reducer.sum(sum);
  }
};

// --- softmax ----------------------------------------------------------------------------------

template <class T, int R, int E, int RowsPerBlock>
__global__ void __launch_bounds__(R* RowsPerBlock)
    softmax_forward(const T* x, int64_t rows, int64_t n, bool log_of_it, T* z) {
  using A = compute_t<T>;
  __shared__ SharedReducer<A, R, RowsPerBlock> reducer;
  const Row row(rows, n);
  const Elements<T, R, E> elements(x + row.begin, row.n);
  const Exponentials<A> e(elements, reducer);
  const A log_total = log(e.total);
  T* to = z + row.begin;
  elements.each([&](A element, int64_t j) {
    const A less = element - e.greatest;
    to[j] = static_cast<T>(log_of_it ? less - log_total : exp(less) / e.total);
  });
}

template <class T, int R, int E, int RowsPerBlock>
__global__ void __launch_bounds__(R* RowsPerBlock)
    softmax_backward(const T* z, const T* dz, int64_t rows, int64_t n, bool log_of_it, T* dx) {
  using A = compute_t<T>;
  __shared__ SharedReducer<A, R, RowsPerBlock> reducer;
  const Row row(rows, n);
  const Elements<T, R, E> of_z(z + row.begin, row.n), of_dz(dz + row.begin, row.n);
  const auto each = [&](const auto& body) {
    if constexpr (E > 0) {
#pragma unroll
      for (int i = 0; i < E; ++i)
        if (of_z.column(i) < row.n) body(of_z.kept[i], of_dz.kept[i], of_z.column(i));
    } else {
      for (int64_t j = threadIdx.x; j < row.n; j += R)
        body(widened(of_z.row[j]), widened(of_dz.row[j]), j);
    }
  };
  A sum = 0;
  each([&](A y, A dy, int64_t) { sum += log_of_it ? dy : dy * y; });
  const A total = reducer.sum(sum);
  T* to = dx + row.begin;
  each([&](A y, A dy, int64_t j) {
    to[j] = static_cast<T>(log_of_it ? dy - exp(y) * total : y * (dy - total));
  });
}

// --- cross entropy ----------------------------------------------------------------------------

__device__ int64_t target_of(const LossArgs& a, int64_t row) {
  return a.target_dtype == DType::int32 ? static_cast<const int32_t*>(a.targets)[row]
                                        : static_cast<const int64_t*>(a.targets)[row];
}

/// The class of a row, -1 if it counts nothing, 0 where targets are probabilities; `bad` if it is
/// none.
__device__ int64_t class_of(const LossArgs& a, int64_t row, bool* bad) {
  *bad = false;
  if (!a.targets) return 0;
  const int64_t target = target_of(a, row);
  const bool counts = !(a.ignores && target == a.ignored);
  *bad = counts && (target < 0 || target >= a.n);
  return counts && !*bad ? target : -1;
}

/// The coefficients of a row's classes, see ops/loss.h.
template <class T>
struct Coefficients {
  using A = compute_t<T>;
  const T *weight, *probabilities;  ///< [n] each, or null
  int64_t target;                   ///< the class where there are no probabilities
  A smoothing, spread;

  __device__ Coefficients(const LossArgs& a, int64_t row, int64_t target)
      : weight(static_cast<const T*>(a.weight)),
        probabilities(static_cast<const T*>(a.probabilities)),
        target(target),
        smoothing(static_cast<A>(a.smoothing)),
        spread(smoothing / static_cast<A>(a.n)) {
    if (probabilities) probabilities += row * a.n;
  }
  __device__ A weight_of(int64_t j) const { return weight ? widened(weight[j]) : A(1); }
  __device__ A of(int64_t j) const {
    const A t = probabilities ? widened(probabilities[j]) : A(j == target ? 1 : 0);
    return weight_of(j) * (t * (1 - smoothing) + spread);
  }
};

template <class T, int R, int E, int RowsPerBlock>
__global__ void __launch_bounds__(R* RowsPerBlock) loss_forward(LossArgs a, Checker checker) {
  using A = compute_t<T>;
  __shared__ SharedReducer<A, R, RowsPerBlock> reducer;
  const Row row(a.rows, a.n);
  const T* x = static_cast<const T*>(a.logits) + row.begin;
  const Elements<T, R, E> elements(x, row.n);
  const Exponentials<A> e(elements, reducer);
  bool bad = false;
  const int64_t target = class_of(a, row.index, &bad);
  const Coefficients<T> q(a, row.index, target);
  A mass = 0, sum = 0;
  if (a.probabilities || a.smoothing > 0) {
    // An infinite logit of a class that counts nothing must not touch the loss.
    elements.each([&](A element, int64_t j) {
      const A coefficient = q.of(j);
      mass += coefficient;
      if (coefficient != 0) sum += coefficient * (element - e.greatest);
    });
    mass = reducer.sum(mass);
    sum = reducer.sum(sum);
  } else if (row.inside && target >= 0) {
    mass = q.weight_of(target);
    if (mass != 0) sum = mass * (widened(x[target]) - e.greatest);
  }
  if (!a.probabilities && !a.weight) mass = 1;  // but for rounding
  if (!row.inside || threadIdx.x > 0) return;
  if (bad) report(checker, FaultKind::target, row.index, target_of(a, row.index));
  A* stats = static_cast<A*>(a.stats) + kLossStats * row.index;
  stats[0] = e.greatest;
  stats[1] = 1 / e.total;
  stats[2] = mass;
  a.classes[row.index] = target;
  const A loss = bad ? static_cast<A>(NAN) : target < 0 ? A(0) : mass * log(e.total) - sum;
  static_cast<T*>(a.losses)[row.index] = static_cast<T>(loss);
}

constexpr int kSumThreads = 1024;

/// One block: the losses added up, and divided by the rows that count or their classes' weights.
template <class T>
__global__ void __launch_bounds__(kSumThreads) sum_losses(LossArgs a) {
  __shared__ SharedReducer<double, kSumThreads, 1> reducer;
  const T* weight = a.probabilities ? nullptr : static_cast<const T*>(a.weight);
  double sum = 0, counts = 0;
  for (int64_t row = threadIdx.x; row < a.rows; row += kSumThreads) {
    sum += static_cast<double>(widened(static_cast<const T*>(a.losses)[row]));
    const int64_t target = a.classes[row];
    if (target >= 0) counts += weight ? static_cast<double>(widened(weight[target])) : 1;
  }
  const double total = reducer.sum(sum), counted = reducer.sum(counts);
  if (threadIdx.x > 0) return;
  const double divisor = a.sum == LossSum::mean ? counted : 1;
  a.divisor[0] = divisor;
  static_cast<T*>(a.loss)[0] = static_cast<T>(divisor != 0 ? total / divisor : NAN);
}

/// Threads along a row, rows along threadIdx.y.
template <class T>
__global__ void loss_backward_kernel(LossArgs a) {
  using A = compute_t<T>;
  const Row row(a.rows, a.n);
  if (!row.inside) return;
  const T* x = static_cast<const T*>(a.logits) + row.begin;
  const A* stats = static_cast<const A*>(a.stats) + kLossStats * row.index;
  const T* dz = static_cast<const T*>(a.dz);
  const int64_t target = a.classes[row.index];
  const Coefficients<T> q(a, row.index, target);
  A scale = widened(dz[a.sum == LossSum::none ? row.index : 0]);
  if (a.sum == LossSum::mean)
    scale = static_cast<A>(a.divisor[0] != 0 ? static_cast<double>(scale) / a.divisor[0] : 0.0);
  if (T* dx = static_cast<T*>(a.dlogits)) {
    for (int64_t j = threadIdx.x; j < a.n; j += blockDim.x) {
      const A p = exp(widened(x[j]) - stats[0]) * stats[1];
      dx[row.begin + j] = static_cast<T>(target < 0 ? A(0) : scale * (p * stats[2] - q.of(j)));
    }
  }
  if (T* dt = static_cast<T*>(a.dtargets)) {
    const A factor = scale * (1 - q.smoothing), log_total = -log(stats[1]);
    for (int64_t j = threadIdx.x; j < a.n; j += blockDim.x) {
      const A share = factor * q.weight_of(j);
      dt[row.begin + j] =
          static_cast<T>(share == 0 ? A(0) : share * (stats[0] - widened(x[j]) + log_total));
    }
  }
}

// --- launching --------------------------------------------------------------------------------

/// Calls run<R, E, RowsPerBlock>() with what suits rows of n elements.
template <class Run>
Failure with_shape(int64_t n, const Run& run) {
  if (n <= 32 * 4) return run.template operator()<32, 4, 8>();
  if (n <= 128 * 8) return run.template operator()<128, 8, 2>();
  if (n <= 512 * 16) return run.template operator()<512, 16, 1>();
  return run.template operator()<1024, 0, 1>();
}

Failure forward(DType dtype, const void* x, int64_t rows, int64_t n, bool log, void* z) {
  if (rows == 0 || n == 0) return nullptr;
  return for_stored(dtype, [&]<class T>() {
    return with_shape(n, [&]<int R, int E, int Rows>() {
      return launch(softmax_forward<T, R, E, Rows>, blocks_for(rows, Rows), dim3(R, Rows),
                    static_cast<const T*>(x), rows, n, log, static_cast<T*>(z));
    });
  });
}

Failure backward(DType dtype, const void* z, const void* dz, int64_t rows, int64_t n, bool log,
                 void* dx) {
  if (rows == 0 || n == 0) return nullptr;
  return for_stored(dtype, [&]<class T>() {
    return with_shape(n, [&]<int R, int E, int Rows>() {
      return launch(softmax_backward<T, R, E, Rows>, blocks_for(rows, Rows), dim3(R, Rows),
                    static_cast<const T*>(z), static_cast<const T*>(dz), rows, n, log,
                    static_cast<T*>(dx));
    });
  });
}

Failure loss(const LossArgs& a) {
  return for_stored(a.dtype, [&]<class T>() {
    Failure failure = nullptr;
    if (a.rows > 0)
      failure = with_shape(a.n, [&]<int R, int E, int Rows>() {
        return launch(loss_forward<T, R, E, Rows>, blocks_for(a.rows, Rows), dim3(R, Rows), a,
                      checker_for(a.check));
      });
    if (failure || a.sum == LossSum::none) return failure;
    return launch(sum_losses<T>, 1, kSumThreads, a);
  });
}

Failure loss_backward(const LossArgs& a) {
  if (a.rows == 0 || a.n == 0) return nullptr;
  const dim3 block = a.n <= 256 ? dim3(32, 8) : dim3(256, 1);
  return for_stored(a.dtype, [&]<class T>() {
    return launch(loss_backward_kernel<T>, blocks_for(a.rows, block.y), block, a);
  });
}

}  // namespace

const SoftmaxFunctions softmax_functions = {
    .forward = forward,
    .backward = backward,
    .loss = loss,
    .loss_backward = loss_backward,
};

}  // namespace normlab::cuda
