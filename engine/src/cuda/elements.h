#pragma once

#include "core/joined_axes.h"
#include "cuda/launch.h"

// What loops over elements share: every thread takes element (or vector) element_index() and every
// element_step() further.

namespace normlab::cuda {

/// V neighbouring elements, loaded and stored at once, or 16 bytes at a time.
template <class T, int V>
struct alignas(sizeof(T) * V <= 16 ? sizeof(T) * V : 16) Pack {
  T of[V];
};

/// Whether packs of V elements may start at p.
template <class T>
__host__ __device__ bool aligned_for(int V, const T* p) {
  return reinterpret_cast<uintptr_t>(p) % (sizeof(T) * static_cast<size_t>(V)) == 0;
}

inline constexpr int kElementThreads = 256;

/// Blocks for n elements, `each` a block: no more than fill the device twice.
inline unsigned element_blocks(int64_t n, int64_t each = kElementThreads) {
  const int64_t most = int64_t{multiprocessors()} * 16;
  const int64_t needed = (n + each - 1) / each;
  return static_cast<unsigned>(needed < most ? needed : most);
}
inline __device__ int64_t element_index() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
inline __device__ int64_t element_step() {
  return static_cast<int64_t>(gridDim.x) * blockDim.x;
}

/// a / b for numbers that are not negative. Twice as fast where both have 32 bits.
inline __device__ int64_t divide(int64_t a, int64_t b) {
  if ((a | b) >> 32 == 0) return static_cast<uint32_t>(a) / static_cast<uint32_t>(b);
  return a / b;
}

/// Calls body.operator()<U>() with the unsigned integer of so many bytes, for elements that are
/// moved, never looked at.
template <class Body>
Failure for_item(int64_t bytes, const Body& body) {
  switch (bytes) {
    case 1:
      return body.template operator()<uint8_t>();
    case 2:
      return body.template operator()<uint16_t>();
    case 4:
      return body.template operator()<uint32_t>();
    case 8:
      return body.template operator()<uint64_t>();
    default:
      return "an element must have 1, 2, 4 or 8 bytes";
  }
}
/// The same with the widest unit of up to 16 bytes that divides all addresses and lengths of rows
/// in `bits`.
template <class Body>
Failure for_unit(uintptr_t bits, const Body& body) {
  if (bits % 16 == 0) return body.template operator()<Pack<uint32_t, 4>>();
  return for_item(static_cast<int64_t>(bits & (~bits + 1)), body);
}

/// Where element `rest` of those that the axes span lies in the first N tensors.
template <int N>
__device__ void walk_to(const JoinedAxes& axes, int64_t rest, int64_t (&at)[N]) {
  for (int k = 0; k < N; ++k) at[k] = 0;
  for (int axis = 0; axis < axes.rank; ++axis) {
    const int64_t next = axis + 1 < axes.rank ? divide(rest, axes.lengths[axis]) : 0;
    const int64_t i = rest - next * axes.lengths[axis];
    for (int k = 0; k < N; ++k) at[k] += i * axes.steps[k][axis];
    rest = next;
  }
}

/// The same, quickly where there is one axis.
template <int N>
__device__ void places_of(const JoinedAxes& axes, int64_t i, int64_t (&at)[N]) {
  if (axes.rank > 1) return walk_to(axes, i, at);
  for (int k = 0; k < N; ++k) at[k] = i * axes.steps[k][0];
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
