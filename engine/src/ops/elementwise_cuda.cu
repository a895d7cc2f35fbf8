// The table's mathematics for one float, double or integer.
#define NORMLAB_ISA cuda
#include "ops/elementwise_table.h"

#include <cstring>
#include <utility>

#include "cuda/elements.h"
#include "ops/elementwise_cuda.h"

// One kernel an instantiated row of the table: vectors of 16 bytes where all operands allow it.

namespace normlab::cuda {
namespace {

// --- the loop -----------------------------------------------------------------------------------

/// An operand: an array, or a number in place of one.
template <class T>
struct Input {
  const T* data;
  T number;
};

/// V neighbours of an operand from element `at` on, or one for all if its step is 0.
template <int V, class T>
__device__ Pack<T, V> load(const Input<T>& x, int64_t at, int64_t step) {
  if (V > 1 && x.data && step == 1) return *reinterpret_cast<const Pack<T, V>*>(x.data + at);
  const T all = x.data ? x.data[at] : x.number;
  Pack<T, V> v;
#pragma unroll
  for (int k = 0; k < V; ++k) v.of[k] = all;
  return v;
}

/// z[i] and its V - 1 next neighbours.
template <class F, int V, class Z, class... X, size_t... K>
__device__ void map_at(const JoinedAxes& axes, int64_t i, Z* z, std::index_sequence<K...>,
                       const Input<X>&... x) {
  int64_t at[sizeof...(X)];
  places_of(axes, i, at);
  const auto store = [&](const Pack<X, V>&... v) {
    Pack<Z, V> out;
#pragma unroll
    for (int k = 0; k < V; ++k) out.of[k] = static_cast<Z>(F()(widened(v.of[k])...));
    *reinterpret_cast<Pack<Z, V>*>(z + i) = out;
  };
  store(load<V>(x, at[K], axes.steps[K][0])...);
}

/// z = F(x...). With vectors, the innermost axis is whole vectors unless it is the only one.
template <class F, int V, class Z, class... X>
__global__ void __launch_bounds__(kElementThreads)
    map_kernel(const __grid_constant__ JoinedAxes axes, int64_t n, Z* z, Input<X>... x) {
  constexpr auto k = std::index_sequence_for<X...>();
  const int64_t vectors = n / V;
  for (int64_t i = element_index(); i < vectors; i += element_step())
    map_at<F, V>(axes, i * V, z, k, x...);
  if constexpr (V > 1)
    for (int64_t i = vectors * V + element_index(); i < n; i += element_step())
      map_at<F, 1>(axes, i, z, k, x...);
}

/// Whether vectors of V elements of operand k lie as one in memory, or are one element.
template <class T>
bool in_vectors(int V, const JoinedAxes& axes, int k, const Input<T>& x) {
  if (axes.rank > 1 && axes.lengths[0] % V != 0) return false;
  if (!x.data || axes.steps[k][0] == 0) return true;
  if (!aligned_for(V, x.data)) return false;
  for (int axis = 1; axis < axes.rank; ++axis)
    if (axes.steps[k][axis] % V != 0) return false;
  return axes.steps[k][0] == 1;
}

template <class F, int V, class Z, class... X>
Failure map(const JoinedAxes& axes, Z* z, const Input<X>&... x) {
  const int64_t n = axes.numel();
  if (n == 0) return nullptr;
  if constexpr (V > 1) {
    int k = 0;
    if (aligned_for(V, z) && (in_vectors(V, axes, k++, x) && ...))
      return launch(map_kernel<F, V, Z, X...>, element_blocks((n + V - 1) / V), kElementThreads,
                    axes, n, z, x...);
  }
  return launch(map_kernel<F, 1, Z, X...>, element_blocks(n), kElementThreads, axes, n, z, x...);
}

/// Elements of a vector of 16 bytes. Integers are rare: they go one by one.
template <class T>
constexpr int kWidth = std::is_floating_point_v<compute_t<T>> ? 16 / sizeof(T) : 1;

template <class T>
Input<T> array(const void* data) {
  return {static_cast<const T*>(data), T{}};
}
template <class T>
Input<T> input(const Source& source) {
  Input<T> x{static_cast<const T*>(source.data), T{}};
  std::memcpy(&x.number, &source.number, sizeof x.number);
  return x;
}

// --- the table's rows as functions of scalars ---------------------------------------------------

template <size_t I>
struct UnaryForward {
  template <class T>
  __device__ T operator()(T x) const {
    return static_cast<T>(decltype(UnaryRowAt<I>::z)()(x));
  }
};
template <size_t I>
struct UnaryBackward {
  template <class T>
  __device__ T operator()(T dz, T kept = T{}) const {
    return decltype(UnaryRowAt<I>::dx)()(dz, kept, kept);
  }
};
template <size_t I>
struct BinaryForward {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return static_cast<T>(decltype(BinaryRowAt<I>::z)()(a, b));
  }
};
template <size_t I, bool OfA>
struct BinaryBackward {
  template <class T>
  __device__ T operator()(T dz, T a, T b) const {
    using Row = BinaryRowAt<I>;
    return std::conditional_t<OfA, decltype(Row::da), decltype(Row::db)>()(dz, a, b);
  }
};
template <size_t I>
struct Compare {
  template <class T>
  __device__ bool operator()(T a, T b) const {
    return std::tuple_element_t<I, std::remove_cv_t<decltype(kCompare)>>()(a, b);
  }
};
struct Select {
  template <class T>
  __device__ T operator()(uint8_t mask, T a, T b) const {
    return mask ? a : b;
  }
};
struct Add {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};

// --- launches, by op and dtype ------------------------------------------------------------------

/// Calls body.operator()<I>() with the row's number as a constant.
template <size_t kRows, class Body>
Failure for_row(size_t row, const Body& body) {
  Failure failure = nullptr;
  const auto try_all = [&]<size_t... I>(std::index_sequence<I...>) {
    ((I == row ? void(failure = body.template operator()<I>()) : void()), ...);
  };
  try_all(std::make_index_sequence<kRows>());
  return failure;
}

/// Calls body.operator()<T>() with the type of dtype, one that a row of the domain takes; bool is
/// read as uint8.
template <Domain domain, class Body>
Failure for_types(DType dtype, const Body& body) {
  if constexpr (domain == Domain::numeric)
    if (!carries_gradient(dtype)) return for_integers(dtype, body);
  return for_stored(dtype, body);
}

Failure run_unary(Unary op, DType dtype, const void* x, void* z, int64_t n) {
  return for_row<kUnaryOps>(static_cast<size_t>(op), [&]<size_t I>() {
    return for_types<std::get<I>(kUnary).domain>(dtype, [&]<class T>() {
      return map<UnaryForward<I>, kWidth<T>>(flat_axes(n, 1), static_cast<T*>(z), array<T>(x));
    });
  });
}

Failure run_unary_backward(Unary op, DType dtype, const void* dz, const void* kept, void* dx,
                           int64_t n) {
  return for_row<kUnaryOps>(static_cast<size_t>(op), [&]<size_t I>() {
    return for_stored(dtype, [&]<class T>() -> Failure {
      constexpr Reads reads = std::get<I>(kUnary).reads;
      using F = UnaryBackward<I>;
      if constexpr (reads == Reads::nothing)
        return map<F, kWidth<T>>(flat_axes(n, 1), static_cast<T*>(dx), array<T>(dz));
      else if constexpr (reads != Reads::no_derivative)
        return map<F, kWidth<T>>(flat_axes(n, 2), static_cast<T*>(dx), array<T>(dz),
                                 array<T>(kept));
      return nullptr;
    });
  });
}

Failure run_binary(Binary op, DType dtype, const JoinedAxes& axes, Source a, Source b, void* z) {
  return for_row<kBinaryOps>(static_cast<size_t>(op), [&]<size_t I>() {
    return for_types<std::get<I>(kBinary).domain>(dtype, [&]<class T>() {
      return map<BinaryForward<I>, kWidth<T>>(axes, static_cast<T*>(z), input<T>(a), input<T>(b));
    });
  });
}

template <size_t I, bool OfA>
Failure binary_backward(DType dtype, const JoinedAxes& axes, const void* dz, Source a, Source b,
                        void* dx) {
  constexpr Reads reads = OfA ? std::get<I>(kBinary).da_reads : std::get<I>(kBinary).db_reads;
  if constexpr (reads == Reads::passes || reads == Reads::no_derivative)
    return nullptr;
  else
    return for_stored(dtype, [&]<class T>() {
      return map<BinaryBackward<I, OfA>, kWidth<T>>(axes, static_cast<T*>(dx), array<T>(dz),
                                                    input<T>(a), input<T>(b));
    });
}
Failure run_binary_backward(Binary op, bool of_a, DType dtype, const JoinedAxes& axes,
                            const void* dz, Source a, Source b, void* dx) {
  return for_row<kBinaryOps>(static_cast<size_t>(op), [&]<size_t I>() {
    return of_a ? binary_backward<I, true>(dtype, axes, dz, a, b, dx)
                : binary_backward<I, false>(dtype, axes, dz, a, b, dx);
  });
}

Failure run_compare(Comparison op, DType dtype, const JoinedAxes& axes, Source a, Source b,
                    void* z) {
  return for_row<kComparisons>(static_cast<size_t>(op), [&]<size_t I>() {
    return for_types<Domain::numeric>(dtype, [&]<class T>() {
      return map<Compare<I>, kWidth<T>>(axes, static_cast<bool*>(z), input<T>(a), input<T>(b));
    });
  });
}

Failure run_select(int64_t item, const JoinedAxes& axes, Source mask, Source a, Source b, void* z) {
  return for_item(item, [&]<class T>() {
    constexpr int V = sizeof(T) == 8 ? 2 : 4;
    return map<Select, V>(axes, static_cast<T*>(z), input<uint8_t>(mask), input<T>(a), input<T>(b));
  });
}

Failure add_in_place(DType dtype, void* into, const void* from, int64_t n) {
  return for_stored(dtype, [&]<class T>() {
    return map<Add, kWidth<T>>(flat_axes(n, 2), static_cast<T*>(into), array<T>(into),
                               array<T>(from));
  });
}

}  // namespace

const ElementwiseFunctions elementwise_functions = {
    .unary = run_unary,
    .unary_backward = run_unary_backward,
    .binary = run_binary,
    .binary_backward = run_binary_backward,
    .compare = run_compare,
    .select = run_select,
    .add_in_place = add_in_place,
};

}  // namespace normlab::cuda
