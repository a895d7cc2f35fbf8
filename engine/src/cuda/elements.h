#pragma once

#include "core/joined_axes.h"
#include "cuda/launch.h"

// What loops over elements share: every thread takes element (or vector) element_index() and every
// element_step() further.

namespace normlab::cuda {

/// V neighbouring elements, loaded and stored at once.
template <class T, int V>
struct alignas(sizeof(T) * V) Pack {
  T of[V];
};

/// Whether packs of V elements may start at p.
template <class T>
bool aligned_for(int V, const T* p) {
  return reinterpret_cast<uintptr_t>(p) % (sizeof(T) * static_cast<size_t>(V)) == 0;
}

inline constexpr int kElementThreads = 256;

/// Blocks of kElementThreads for n elements: no more than fill the device twice.
inline unsigned element_blocks(int64_t n) {
  const int64_t most = int64_t{multiprocessors()} * 16;
  const int64_t needed = (n + kElementThreads - 1) / kElementThreads;
  return static_cast<unsigned>(needed < most ? needed : most);
}
inline __device__ int64_t element_index() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
inline __device__ int64_t element_step() {
  return static_cast<int64_t>(gridDim.x) * blockDim.x;
}

template <int N, class Index>
__device__ void walk_to(const JoinedAxes& axes, Index rest, int64_t (&at)[N]) {
  for (int k = 0; k < N; ++k) at[k] = 0;
  for (int axis = 0; axis < axes.rank; ++axis) {
    const auto length = static_cast<Index>(axes.lengths[axis]);
    const Index next = axis + 1 < axes.rank ? rest / length : 0;
    const auto i = static_cast<int64_t>(rest - next * length);
    for (int k = 0; k < N; ++k) at[k] += i * axes.steps[k][axis];
    rest = next;
  }
}

/// Where element i of the n that the axes span lies in the first N tensors.
template <int N>
__device__ void places_of(const JoinedAxes& axes, int64_t n, int64_t i, int64_t (&at)[N]) {
  if (axes.rank == 1)
    for (int k = 0; k < N; ++k) at[k] = i * axes.steps[k][0];
  else if (n <= UINT32_MAX)  // divisions of 32 bits are several times as fast
    walk_to<N, uint32_t>(axes, static_cast<uint32_t>(i), at);
  else
    walk_to<N, uint64_t>(axes, static_cast<uint64_t>(i), at);
}

/// Axes of `tensors` arrays of n elements each.
inline JoinedAxes flat_axes(int64_t n, int tensors) {
  constexpr int64_t kOnes[JoinedAxes::kMaxTensors] = {1, 1, 1};
  JoinedAxes axes;
  axes.tensors = tensors;
  axes.add(n, kOnes);
  return axes;
}

}  // namespace normlab::cuda
