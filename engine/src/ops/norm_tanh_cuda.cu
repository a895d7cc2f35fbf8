#include "ops/norm_cuda.h"
#include "ops/norm_rows_cuda.h"

// dyt, z = gain * tanh(alpha * x) + bias: no statistics, so a row may be cut anywhere. Block (i, s)
// takes columns [s, s + 1) * kSlice of rows i, i + gridDim.x, ...

namespace normlab::cuda {
namespace {

constexpr unsigned kThreads = 256;
/// Elements of a thread.
template <class T>
constexpr int kElements = 64 / sizeof(accumulate_t<T>);
template <class T>
constexpr int kSlice = static_cast<int>(kThreads) * kElements<T>;
/// Elements of a thread in backward where a warp then still holds a row.
template <class T>
constexpr int kFewElements = kElements<T> / 2;
/// Blocks of backward that a multiprocessor must hold at once: as many as spill no register.
template <class T, int E>
constexpr int kAtOnce = E > kFewElements<T>          ? 3
                        : sizeof(T) == sizeof(float) ? 5
                                                     : 4;

/// Where a block's slice begins, and how many columns it has.
template <class T>
__device__ BlockColumns own_columns(const NormProblem<T>& a) {
  const int first = static_cast<int>(blockIdx.y) * kSlice<T>, left = static_cast<int>(a.H) - first;
  return {first, left < kSlice<T> ? left : kSlice<T>};
}

template <class T, int V>
__global__ void __launch_bounds__(kThreads) forward_tanh(NormProblem<T> a) {
  using A = accumulate_t<T>;
  const BlockColumns own = own_columns(a);
  const A alpha = a.alpha_or_default();
  const int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  if (row >= a.rows) return;
  RowPart<T, V, kElements<T>, kBlock, 1, false> part(Strip<V, kElements<T>, kBlock>(own),
                                                     own.length, 0);
  part.template load<false>(0, a.x + row * a.H);
  T* z = a.z + row * a.H;
  part.each([&](int column, auto& values) {
    A w[V], b[V];
    load_parameters<V>(a.gain, column, A(1), w);
    load_parameters<V>(a.bias, column, A(0), b);
#pragma unroll
    for (int k = 0; k < V; ++k) w[k] = tanh(alpha * values[0][k]) * w[k] + b[k];
    store_values<T, V>(z + column, w);
  });
}

template <class T, int V, int E>
__global__ void __launch_bounds__(kThreads, kAtOnce<T, E>) backward_tanh(NormProblem<T> a) {
  using A = accumulate_t<T>;
  const BlockColumns own = own_columns(a);
  const A alpha = a.alpha_or_default();
  const Strip<V, E, kBlock> strip(own);
  ColumnSums<A, V> column_sums(strip, own, dynamic_shared<A>());
  A alpha_sum[1] = {0};
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.y;
  for (int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y; row < a.rows;
       row += step) {
    const int64_t at = row * a.H;
    RowPart<T, V, E, kBlock, 2, false> part(strip, own.length, 0);
    part.template load<true>(0, a.x + at);
    part.template load<true>(1, a.dz + at);
    part.each([&](int column, auto& values) {
      A y[V], w[V];
      load_parameters<V>(a.gain, column, A(1), w);
#pragma unroll
      for (int k = 0; k < V; ++k) {
        const A through = alpha * values[0][k];
        y[k] = tanh(through);
        w[k] *= values[1][k] * tanh_slope(through);
        alpha_sum[0] += w[k] * values[0][k];
        w[k] *= alpha;
      }
      column_sums.add(column, values[1], y);
      if (a.dx) store_values<T, V>(a.dx + at + column, w);
    });
  }
  const int64_t parts = gridDim.x;
  if (a.dgain || a.dbias) column_sums.write(a.scratch + blockIdx.x * 2 * a.H, a.H);
  RowReducer<A, kBlock>(room_for_sums<A, kBlock>()).sum(alpha_sum);
  if (a.dalpha && threadIdx.x == 0)
    a.scratch[parts * 2 * a.H + (blockIdx.y * parts + blockIdx.x) * blockDim.y + threadIdx.y] =
        alpha_sum[0];
}

// --- launching --------------------------------------------------------------------------------

template <class T>
dim3 block_of(const NormProblem<T>& a) {
  const unsigned warps = blocks_for(a.H, 32 * kElements<T>), most = kThreads / 32;
  const unsigned x = 32 * (warps < most ? warps : most);
  return {x, kThreads / x};
}

template <class T>
bool few_elements(const NormProblem<T>& a) {
  return a.H <= 32 * kFewElements<T>;
}

/// Blocks for each slice: as many as run at once.
template <class T>
unsigned backward_blocks(const NormProblem<T>& a) {
  const int at_once = few_elements(a) ? kAtOnce<T, kFewElements<T>> : kAtOnce<T, kElements<T>>;
  const int64_t needed = blocks_for(a.rows, block_of(a).y), slices = blocks_for(a.H, kSlice<T>),
                resident = (int64_t{multiprocessors()} * at_once + slices - 1) / slices;
  return static_cast<unsigned>(needed < resident ? needed : resident);
}

/// Slices are a grid's y.
template <class T>
bool too_long(const NormProblem<T>& a) {
  return blocks_for(a.H, kSlice<T>) > 65535;
}
constexpr Failure kTooLong = "a row has too many elements for dyt";

}  // namespace

template <class T>
Failure tanh_forward(const NormProblem<T>& a) {
  if (too_long(a)) return kTooLong;
  const dim3 block = block_of(a);
  const dim3 grid(blocks_for(a.rows, block.y), blocks_for(a.H, kSlice<T>));
  return with_vectors(a, [&]<int V>() { return launch(forward_tanh<T, V>, grid, block, a); });
}

template <class T>
int64_t tanh_scratch(const NormProblem<T>& a) {
  const int64_t parts = backward_blocks(a);
  return parts * 2 * a.H + parts * blocks_for(a.H, kSlice<T>) * block_of(a).y;
}

template <class T>
Failure tanh_backward(const NormProblem<T>& a) {
  if (too_long(a)) return kTooLong;
  const dim3 block = block_of(a);
  const unsigned parts = backward_blocks(a), slices = blocks_for(a.H, kSlice<T>);
  const Failure failure = with_vectors(a, [&]<int V>() {
    return launch_shared(
        ColumnSums<accumulate_t<T>, V>::bytes(block.y, a.H < kSlice<T> ? a.H : kSlice<T>),
        few_elements(a) ? backward_tanh<T, V, kFewElements<T>> : backward_tanh<T, V, kElements<T>>,
        dim3(parts, slices), block, a);
  });
  if (failure) return failure;
  return sum_parts(a, a.scratch, parts, a.H, a.scratch + int64_t{parts} * 2 * a.H,
                   int64_t{parts} * slices * block.y);
}

#define NORMLAB_INSTANTIATE(T)                          \
  template Failure tanh_forward(const NormProblem<T>&); \
  template int64_t tanh_scratch(const NormProblem<T>&); \
  template Failure tanh_backward(const NormProblem<T>&);
NORMLAB_FOR_NORM_TYPES(NORMLAB_INSTANTIATE)

}  // namespace normlab::cuda
