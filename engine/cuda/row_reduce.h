#pragma once

namespace normlab::cuda {

/// Sums over the R threads of a row, for blocks of R x RowsPerBlock threads: the same order every
/// time, so the same bits. Lies in shared memory; every thread of the block must call sum().
template <class T, int R, int RowsPerBlock>
struct RowReducer {
  static_assert(R % 32 == 0 && R <= 1024);
  static constexpr int kWarps = R / 32;
  T of_warp[RowsPerBlock][kWarps];

  static __device__ T within_warp(T value) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
    return value;
  }

  __device__ T sum(T value) {
    value = within_warp(value);
    if constexpr (kWarps == 1) {
      return value;
    } else {
      __syncthreads();  // the last sum has been read
      T* warps = of_warp[threadIdx.y];
      if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = value;
      __syncthreads();
      T total = 0;
#pragma unroll
      for (int w = 0; w < kWarps; ++w) total += warps[w];
      return total;
    }
  }
};

}  // namespace normlab::cuda
