#pragma once

#include "cuda/launch.h"

// Sums, and the like, over the threads of a warp or a block: the same order every time, so the same
// bits.

namespace normlab::cuda {

/// Joins the values of kLanes neighbouring threads of a warp, all of which call it.
template <int kLanes = 32, class T, class Join>
__device__ T join_lanes(T value, const Join& join) {
#pragma unroll
  for (int step = kLanes / 2; step > 0; step /= 2)
    value = join(value, __shfl_xor_sync(0xffffffffu, value, step));
  return value;
}
template <int kLanes = 32, class T>
__device__ T sum_of_lanes(T value) {
  return join_lanes<kLanes>(value, [](T a, T b) { return a + b; });
}
/// NaN left out.
template <class T>
__device__ T max_of_lanes(T value) {
  return join_lanes(value, [](T a, T b) { return static_cast<T>(fmax(a, b)); });
}

/// Joins values over threadIdx.y; blockDim.y is a power of two, and `room` has a place a thread.
/// Every thread of the block must call it.
template <int K, class T, size_t N, class Join>
__device__ void join_over_y(T (&values)[K], T (&room)[K][N], const Join& join) {
  const unsigned thread = threadIdx.y * blockDim.x + threadIdx.x;
#pragma unroll
  for (int k = 0; k < K; ++k) room[k][thread] = values[k];
  for (unsigned half = blockDim.y / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.y < half)
#pragma unroll
      for (int k = 0; k < K; ++k)
        room[k][thread] = join(room[k][thread], room[k][thread + half * blockDim.x]);
  }
  __syncthreads();
#pragma unroll
  for (int k = 0; k < K; ++k) values[k] = room[k][threadIdx.x];
  __syncthreads();  // the room may be used again
}

/// Sums over the R threads of a row, for blocks of R x RowsPerBlock threads. Lies in shared memory;
/// every thread of the block must call sum().
template <class T, int R, int RowsPerBlock>
struct SharedReducer {
  static_assert(R % 32 == 0 && R <= 1024);
  static constexpr int kWarps = R / 32;
  T of_warp[RowsPerBlock][kWarps];

  __device__ T sum(T value) {
    return reduce(sum_of_lanes(value), [](T a, T b) { return a + b; });
  }
  /// The greatest, NaN left out.
  __device__ T max(T value) {
    return reduce(max_of_lanes(value), [](T a, T b) { return static_cast<T>(fmax(a, b)); });
  }

 private:
  template <class Join>
  __device__ T reduce(T value, const Join& join) {
    if constexpr (kWarps == 1) {
      return value;
    } else {
      __syncthreads();  // the last result has been read
      T* warps = of_warp[threadIdx.y];
      if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = value;
      __syncthreads();
      T total = warps[0];
#pragma unroll
      for (int w = 1; w < kWarps; ++w) total = join(total, warps[w]);
      return total;
    }
  }
};

}  // namespace normlab::cuda
