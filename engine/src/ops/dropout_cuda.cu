#include "cpu/philox.h"
#include "cuda/elements.h"
#include "ops/dropout_cuda.h"

namespace normlab::cuda {
namespace {

constexpr int kWords = 4;

/// A thread for each of Philox's blocks.
template <class T, int V>
__global__ void __launch_bounds__(kElementThreads) dropout_kernel(DropoutArgs a) {
  const T* x = static_cast<const T*>(a.x);
  T* z = static_cast<T*>(a.z);
  const auto scale = static_cast<compute_t<T>>(a.scale);
  const uint64_t first = a.block + (a.replay ? *a.replay : 0);
  for (int64_t b = element_index(); b * kWords < a.n; b += element_step()) {
    const PhiloxWords random = philox_block(a.seed, first + static_cast<uint64_t>(b));
#pragma unroll
    for (int w = 0; w < kWords; w += V) {
      const int64_t i = b * kWords + w;
      if (i >= a.n) continue;
      Pack<T, V> v = *reinterpret_cast<const Pack<T, V>*>(x + i);
#pragma unroll
      for (int k = 0; k < V; ++k)
        v.of[k] = random[w + k] >= a.threshold ? static_cast<T>(widened(v.of[k]) * scale) : T(0);
      *reinterpret_cast<Pack<T, V>*>(z + i) = v;
    }
  }
}

template <class T>
Failure dropout_as(const DropoutArgs& a) {
  constexpr int V = sizeof(T) == 8 ? 2 : kWords;
  const bool in_vectors = aligned_for(V, static_cast<const T*>(a.x)) &&
                          aligned_for(V, static_cast<const T*>(a.z)) && a.n % V == 0;
  return launch(in_vectors ? dropout_kernel<T, V> : dropout_kernel<T, 1>,
                element_blocks(a.n, kElementThreads * kWords), kElementThreads, a);
}

Failure dropout(const DropoutArgs& a) {
  if (a.n == 0) return nullptr;
  return for_stored(a.dtype, [&]<class T>() { return dropout_as<T>(a); });
}

}  // namespace

const RandomFunctions random_functions = {.dropout = dropout};

}  // namespace normlab::cuda
