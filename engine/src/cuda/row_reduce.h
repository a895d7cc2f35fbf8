#pragma once

namespace normlab::cuda {

/// Sums over the R threads of a row, for blocks of R x RowsPerBlock threads: the same order every
/// time, so the same bits. Lies in shared memory; every thread of the block must call sum().
template <class T, int R, int RowsPerBlock>
struct SharedReducer {
  static_assert(R % 32 == 0 && R <= 1024);
  static constexpr int kWarps = R / 32;
  T of_warp[RowsPerBlock][kWarps];

  __device__ T sum(T value) {
    return reduce(value, [](T a, T b) { return a + b; });
  }
  /// The greatest, NaN left out.
  __device__ T max(T value) {
    return reduce(value, [](T a, T b) { return static_cast<T>(fmax(a, b)); });
  }

 private:
  template <class Join>
  __device__ T reduce(T value, const Join& join) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2)
      value = join(value, __shfl_xor_sync(0xffffffffu, value, step));
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
