#include "cuda/column_sums.h"
#include "cuda/tile_product.h"
#include "ops/activation_cuda.h"
#include "ops/matmul_blas_cuda.h"

// Matrix products: cuBLASLt, with the bias on its way out. Activations take a pass of their own,
// relu too: cuBLASLt's does not promise to keep NaN. What cuBLASLt does not take, tiles of the
// engine's own.

namespace normlab::cuda {
namespace {

constexpr int kThreads = 256, kRowThreads = 32, kRowsAtOnce = 8;

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

/// V neighbours, computed with as A.
template <class T, int V, class A>
__device__ void read_pack(const T* at, A (&values)[V]) {
  const auto pack = *reinterpret_cast<const Packed<T, V>*>(at);
#pragma unroll
  for (int k = 0; k < V; ++k) values[k] = widened(pack.of[k]);
}
/// To element i, a multiple of V: where the compiler cannot see that it is one, it would store the
/// elements one by one.
template <class T, int V, class A>
__device__ void write_pack(T* first, int64_t i, const A (&values)[V]) {
  Packed<T, V> pack;
#pragma unroll
  for (int k = 0; k < V; ++k) pack.of[k] = static_cast<T>(values[k]);
  reinterpret_cast<Packed<T, V>*>(first)[i / V] = pack;
}

/// z = act(x + bias) on n elements in vectors of V, rows of `width`; before: x + bias, unless null.
/// x may be z or before.
template <class T, int V>
__global__ void activate_kernel(const T* x, const T* bias, T* before, T* z, int64_t n,
                                int64_t width, Activation activation) {
  using A = compute_t<T>;
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x * V;
  for (int64_t i = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * V; i < n;
       i += step) {
    A v[V];
    read_pack(x + i, v);
    if (bias) {
      const int64_t column = i - divide(i, width) * width;
#pragma unroll
      for (int k = 0; k < V; ++k) v[k] += widened(bias[column + k]);
    }
    if (before) write_pack(before, i, v);
#pragma unroll
    for (int k = 0; k < V; ++k) v[k] = activate(activation, v[k]);
    write_pack(z, i, v);
  }
}

/// Whether rows of `width` elements can be read V at a time; null pointers are nobody's.
template <class T>
bool in_packs(int V, int64_t width, std::initializer_list<const void*> pointers) {
  for (const void* p : pointers)
    if (reinterpret_cast<uintptr_t>(p) % (sizeof(T) * static_cast<size_t>(V)) != 0) return false;
  return width % V == 0;
}

unsigned element_blocks(int64_t n, int64_t each) {
  constexpr int64_t kMost = 1 << 16;
  const int64_t blocks = (n + each - 1) / each;
  return static_cast<unsigned>(blocks < kMost ? blocks : kMost);
}

template <class T>
Failure activate_all(const T* x, const MatrixProduct& a, const T* bias, T* before) {
  constexpr int V = 16 / sizeof(T);
  const int64_t n = a.batch * a.M * a.N;
  T* z = static_cast<T*>(a.c);
  if (in_packs<T>(V, a.N, {x, before, z}))
    return launch(activate_kernel<T, V>, element_blocks(n, kThreads * V), kThreads, x, bias, before,
                  z, n, a.N, a.activation);
  return launch(activate_kernel<T, 1>, element_blocks(n, kThreads), kThreads, x, bias, before, z, n,
                a.N, a.activation);
}

template <class T>
Failure multiply_typed(const MatrixProduct& a) {
  const bool own_pass = a.activation != Activation::none || a.before;
  // Straight to where the activation reads from.
  T* const product = static_cast<T*>(own_pass && a.before ? a.before : a.c);
  bool done = false;
  Failure failure = blas_multiply(a, {a.bias}, product, &done);
  if (failure || (done && !own_pass)) return failure;
  const T* const added = static_cast<const T*>(done ? nullptr : a.bias);
  // A sum that is stored before the bias would be rounded twice.
  constexpr bool kNarrow = !std::is_same_v<T, compute_t<T>>;
  if (!done && !(kNarrow && a.bias)) failure = blas_multiply(a, {}, product, &done);
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

template <class T, int V>
__global__ void gradient_kernel(const T* dz, const T* kept, T* dx, int64_t n,
                                Activation activation) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x * V;
  for (int64_t i = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * V; i < n;
       i += step) {
    compute_t<T> v[V], known[V];
    read_pack(dz + i, v);
    read_pack(kept + i, known);
#pragma unroll
    for (int k = 0; k < V; ++k) v[k] = activation_gradient(activation, v[k], known[k]);
    write_pack(dx, i, v);
  }
}

template <class T>
Failure gradients_alone(const ActivationGradArgs& args) {
  constexpr int V = 16 / sizeof(T);
  const int64_t n = args.rows * args.width;
  const auto* dz = static_cast<const T*>(args.dz);
  const auto* kept = static_cast<const T*>(args.kept);
  T* const dx = static_cast<T*>(args.dx);
  if (n == 0) return nullptr;
  if (in_packs<T>(V, n, {dz, kept, dx}))
    return launch(gradient_kernel<T, V>, element_blocks(n, kThreads * V), kThreads, dz, kept, dx, n,
                  args.activation);
  return launch(gradient_kernel<T, 1>, element_blocks(n, kThreads), kThreads, dz, kept, dx, n,
                args.activation);
}

// --- sums of columns, and the activation's derivative on the way
// ----------------------------------

/// One part of the rows, V columns a thread.
template <class T>
struct ColumnArgs {
  int64_t rows, width, length;       ///< length: rows of a part
  const T *from, *kept;              ///< kept: null without activation
  T* dx;                             ///< null: not wanted
  ColumnTargets<compute_t<T>> sums;  ///< as many rows of it as there are parts
  Activation activation;
};

template <class T, int V, int kRows = kRowsAtOnce>
__global__ void __launch_bounds__(kRowThreads* kRows) column_kernel(ColumnArgs<T> a) {
  using A = compute_t<T>;
  __shared__ A sums[kRows][kRowThreads * V];
  const int64_t j = (static_cast<int64_t>(blockIdx.x) * kRowThreads + threadIdx.x) * V;
  const int64_t begin = blockIdx.y * a.length;
  const int64_t end = begin + a.length < a.rows ? begin + a.length : a.rows;
  A sum[V] = {};
  if (j < a.width) {
    for (int64_t row = begin + threadIdx.y; row < end; row += kRows) {
      A v[V];
      read_pack(a.from + row * a.width + j, v);
      if (a.kept) {
        A kept[V];
        read_pack(a.kept + row * a.width + j, kept);
#pragma unroll
        for (int k = 0; k < V; ++k) v[k] = activation_gradient(a.activation, v[k], kept[k]);
        if (a.dx) write_pack(a.dx, row * a.width + j, v);
      }
#pragma unroll
      for (int k = 0; k < V; ++k) sum[k] += v[k];
    }
  }
#pragma unroll
  for (int k = 0; k < V; ++k) sums[threadIdx.y][threadIdx.x * V + k] = sum[k];
  __syncthreads();
  // One thread a column adds the rows up, in order.
  for (int c = static_cast<int>(threadIdx.y * kRowThreads + threadIdx.x); c < kRowThreads * V;
       c += kRowThreads * kRows) {
    const int64_t column = static_cast<int64_t>(blockIdx.x) * kRowThreads * V + c;
    if (column >= a.width) continue;
    A total = 0;
    for (int y = 0; y < kRows; ++y) total += sums[y][c];
    if (column < a.sums.split) {
      if (a.sums.first) a.sums.first[blockIdx.y * a.width + column] = total;
    } else if (a.sums.second) {
      a.sums.second[column - a.sums.split] = total;
    }
  }
}

template <class T>
Failure launch_columns(const ColumnArgs<T>& a, int64_t parts) {
  constexpr int V = 16 / sizeof(T);
  const dim3 block(kRowThreads, kRowsAtOnce);
  const auto grid = [&](int each) {
    return dim3(blocks_for(a.width, int64_t{kRowThreads} * each), static_cast<unsigned>(parts));
  };
  // Vectors only where there are columns enough for the device.
  const bool wide = a.width >= int64_t{kRowThreads} * V;
  if (wide && in_packs<T>(V, a.width, {a.from, a.kept, a.dx}))
    return launch(column_kernel<T, V>, grid(V), block, a);
  return launch(column_kernel<T, 1>, grid(1), block, a);
}

/// Enough parts to keep the device busy with vectors, too, of at least 64 rows each, and not more
/// than a second pass sums at once.
int64_t column_parts(int64_t rows, int64_t width) {
  constexpr int64_t kLeastRows = 64, kMostParts = 1024;
  const int64_t columns = (width + kRowThreads - 1) / kRowThreads;
  const int64_t wanted = columns > 0 ? 16 * int64_t{multiprocessors()} / columns : 0;
  const int64_t most = rows / kLeastRows < kMostParts ? rows / kLeastRows : kMostParts;
  const int64_t parts = wanted < most ? wanted : most;
  return parts > 1 ? parts : 1;
}

template <class T>
Failure sums_and_gradients(const ActivationGradArgs& args) {
  const int64_t parts = args.parts;
  using A = compute_t<T>;
  A* const dbias = static_cast<A*>(args.dbias);
  ColumnArgs<T> a{};
  a.rows = args.rows;
  a.width = args.width;
  a.length = (args.rows + parts - 1) / parts;
  a.from = static_cast<const T*>(args.dz);
  a.kept = args.activation == Activation::none ? nullptr : static_cast<const T*>(args.kept);
  a.dx = static_cast<T*>(args.dx);
  A* const partials = static_cast<A*>(args.partials);
  a.sums = {parts > 1 ? partials : dbias, args.width, nullptr};
  a.activation = args.activation;
  const Failure failure = launch_columns(a, parts);
  if (failure || parts == 1) return failure;
  return sum_columns<A>(partials, parts, args.width, {dbias, args.width, nullptr});
}

Failure activation_backward(const ActivationGradArgs& args) {
  if (args.width == 0) return nullptr;
  return for_stored(args.dtype, [&]<class T>() {
    return args.dbias ? sums_and_gradients<T>(args) : gradients_alone<T>(args);
  });
}

}  // namespace

template <class T>
Failure sum_columns(const T* from, int64_t rows, int64_t width, const ColumnTargets<T>& to) {
  ColumnArgs<T> a{};
  a.rows = a.length = rows;
  a.width = width;
  a.from = from;
  a.sums = to;
  // Few columns leave a block's threads many rows each, one after the other.
  constexpr int kManyRows = 32;
  if (rows > 4 * kRowsAtOnce)
    return launch(column_kernel<T, 1, kManyRows>, blocks_for(width, kRowThreads),
                  dim3(kRowThreads, kManyRows), a);
  return launch_columns(a, 1);
}

template Failure sum_columns(const float*, int64_t, int64_t, const ColumnTargets<float>&);
template Failure sum_columns(const double*, int64_t, int64_t, const ColumnTargets<double>&);

const MatmulFunctions matmul_functions = {
    .multiply = multiply,
    .activation_backward = activation_backward,
    .parts = column_parts,
};

}  // namespace normlab::cuda
