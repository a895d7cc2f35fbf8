#include "cuda/tile_product.h"
#include "ops/activation_cuda.h"
#include "ops/matmul_blas_cuda.h"

// Matrix products: cuBLASLt, with the bias on its way out. Activations take a pass of their own,
// relu too: cuBLASLt's does not promise to keep NaN. What cuBLASLt does not take, tiles of the
// engine's own.

namespace normlab::cuda {
namespace {

// --- the engine's own product -------------------------------------------------------------------

template <class Stored>
struct Product {
  using T = compute_t<Stored>;
  static constexpr bool kAlongK = false;
  int64_t M, N, K, matrices;
  const Stored *left, *right;
  int64_t a_step, a_row, a_k, b_step, b_k, b_column;  ///< elements to the next one of each
  const Stored* bias;
  Stored *z, *before;
  Activation activation;

  using Place = int64_t;
  struct Row {
    const Stored* at;
  };
  using Column = Row;
  struct Target {
    int64_t at, n;
  };
  __device__ Place place(int64_t k) const { return k; }
  __device__ void advance(Place& k) const { k += kPlaceStep; }
  __device__ Row row(int64_t matrix, int64_t m) const {
    return {m < M ? left + matrix * a_step + m * a_row : nullptr};
  }
  __device__ Column column(int64_t matrix, int64_t n) const {
    return {n < N ? right + matrix * b_step + n * b_column : nullptr};
  }
  __device__ T a(const Row& row, Place k) const { return row.at ? widened(row.at[k * a_k]) : T(0); }
  __device__ T b(const Column& column, Place k) const {
    return column.at ? widened(column.at[k * b_k]) : T(0);
  }
  __device__ Target target(int64_t matrix, int64_t n) const { return {matrix * M * N + n, n}; }
  __device__ void store(const Target& to, int64_t m, int64_t, T sum) const {
    const int64_t at = to.at + m * N;
    const T value = bias ? sum + widened(bias[to.n]) : sum;
    if (before) before[at] = static_cast<Stored>(value);
    z[at] = static_cast<Stored>(activate(activation, value));
  }
};

template <class T>
Failure multiply_in_own_tiles(const MatrixProduct& a) {
  Product<T> p{};
  p.M = a.M;
  p.N = a.N;
  p.K = a.K;
  p.matrices = a.batch;
  p.left = static_cast<const T*>(a.a);
  p.right = static_cast<const T*>(a.b);
  p.a_step = a.a_step;
  p.a_row = a.a_transposed ? 1 : a.K;
  p.a_k = a.a_transposed ? a.M : 1;
  p.b_step = a.b_step;
  p.b_k = a.b_transposed ? 1 : a.N;
  p.b_column = a.b_transposed ? a.K : 1;
  p.bias = static_cast<const T*>(a.bias);
  p.z = static_cast<T*>(a.c);
  p.before = static_cast<T*>(a.before);
  p.activation = a.activation;
  return multiply_in_tiles(p, 1);
}

// --- bias and activation on their own -----------------------------------------------------------

/// z = act(x + bias) on n elements in vectors of V, rows of `width`; before: x + bias, unless null.
/// x may be z or before.
template <class T, int V>
__global__ void __launch_bounds__(kElementThreads)
    activate_kernel(const T* x, const T* bias, T* before, T* z, int64_t n, int64_t width,
                    Activation activation) {
  using Vector = Pack<T, V>;
  for (int64_t i = element_index(); i < n / V; i += element_step()) {
    const Vector in = reinterpret_cast<const Vector*>(x)[i];
    const int64_t column = bias ? i * V - divide(i * V, width) * width : 0;
    Vector sum, out;
#pragma unroll
    for (int k = 0; k < V; ++k) {
      const auto v = bias ? widened(in.of[k]) + widened(bias[column + k]) : widened(in.of[k]);
      sum.of[k] = static_cast<T>(v);
      out.of[k] = static_cast<T>(activate(activation, v));
    }
    if (before) reinterpret_cast<Vector*>(before)[i] = sum;
    reinterpret_cast<Vector*>(z)[i] = out;
  }
}

template <class T>
Failure activate_all(const T* x, const MatrixProduct& a, const T* bias, T* before) {
  constexpr int V = 16 / sizeof(T);
  const int64_t n = a.batch * a.M * a.N;
  T* z = static_cast<T*>(a.c);
  const bool in_vectors =
      a.N % V == 0 && aligned_for(V, x) && aligned_for(V, before) && aligned_for(V, z);
  return launch(in_vectors ? activate_kernel<T, V> : activate_kernel<T, 1>,
                element_blocks(n, kElementThreads * (in_vectors ? V : 1)), kElementThreads, x, bias,
                before, z, n, a.N, a.activation);
}

template <class T>
Failure multiply_typed(const MatrixProduct& a) {
  const bool own_pass = a.activation != Activation::none || a.before;
  // Straight to where the activation reads from.
  T* const product = static_cast<T*>(own_pass && a.before ? a.before : a.c);
  bool done = false;
  Failure failure = blas_multiply(a, a.bias, product, &done);
  if (failure || (done && !own_pass)) return failure;
  const T* const added = static_cast<const T*>(done ? nullptr : a.bias);
  // A sum that is stored before the bias would be rounded twice.
  constexpr bool kNarrow = !std::is_same_v<T, compute_t<T>>;
  if (!done && !(kNarrow && a.bias)) failure = blas_multiply(a, nullptr, product, &done);
  if (failure) return failure;
  if (!done) return multiply_in_own_tiles<T>(a);
  return activate_all<T>(product, a, added, added ? static_cast<T*>(a.before) : nullptr);
}

Failure multiply(const MatrixProduct& args) {
  if (args.batch == 0 || args.M == 0 || args.N == 0) return nullptr;
  return for_stored(args.dtype, [&]<class T>() -> Failure {
    return args.K == 0 ? multiply_in_own_tiles<T>(args) : multiply_typed<T>(args);
  });
}

}  // namespace

const MatmulFunctions matmul_functions = {.multiply = multiply};

}  // namespace normlab::cuda
