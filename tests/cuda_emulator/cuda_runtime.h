#pragma once

// Stands in for CUDA's own header where the CUDA backend is compiled as plain C++ for a machine
// without a GPU: the qualifiers mean nothing, a launch runs the kernel's threads as fibers of one
// thread (emulator.h). The API's types and constants are CUDA's.

#include <cuda_runtime_api.h>
#include <vector_functions.h>
#include <vector_types.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>

#include "emulator.h"

#undef __global__
#undef __device__
#undef __host__
#undef __shared__
#undef __constant__
#undef __launch_bounds__
#undef __forceinline__
#undef __grid_constant__
#define __global__
#define __device__
#define __host__
// Blocks run one after the other, so one instance serves them all.
#define __shared__ static
#define __constant__ static const
#define __launch_bounds__(...)
#define __forceinline__ inline
#define __grid_constant__

inline const uint3& threadIdx = ::emulator::here.thread;
inline const uint3& blockIdx = ::emulator::here.block;
inline const dim3& blockDim = ::emulator::shape.threads;
inline const dim3& gridDim = ::emulator::shape.blocks;
inline constexpr int warpSize = 32;

// --- synchronisation --------------------------------------------------------------------------

inline void __syncthreads() {
  ::emulator::barrier(0);
}
inline int __syncthreads_count(int predicate) {
  return ::emulator::barrier(predicate != 0 ? 1 : 0);
}
inline int __syncthreads_or(int predicate) {
  return __syncthreads_count(predicate) > 0;
}
inline int __syncthreads_and(int predicate) {
  return __syncthreads_count(predicate == 0) == 0;
}
inline void __threadfence() {}
inline void __threadfence_block() {}

namespace emulator {

/// This lane's value goes to all lanes of the mask; `of` picks the lane to read.
template <class T, class Of>
T exchange(unsigned mask, T value, const Of& of) {
  static_assert(sizeof(T) <= 8);
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  uint64_t all[32];
  meet(mask, bits, all);
  const int from = of(lane());
  if (from < 0 || from > 31 || !(mask >> from & 1)) return value;
  std::memcpy(&value, &all[from], sizeof value);
  return value;
}

}  // namespace emulator

template <class T>
T __shfl_sync(unsigned mask, T value, int from, int width = 32) {
  return ::emulator::exchange(mask, value,
                              [=](int lane) { return lane / width * width + from % width; });
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32) {
  return ::emulator::exchange(mask, value, [=](int lane) {
    return (lane ^ bits) / width == lane / width ? lane ^ bits : lane;
  });
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32) {
  return ::emulator::exchange(mask, value, [=](int lane) {
    const int from = lane + static_cast<int>(by);
    return from / width == lane / width ? from : lane;
  });
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32) {
  return ::emulator::exchange(mask, value, [=](int lane) {
    const int from = lane - static_cast<int>(by);
    return from >= lane / width * width ? from : lane;
  });
}
inline void __syncwarp(unsigned mask = 0xffffffffu) {
  uint64_t all[32];
  ::emulator::meet(mask, 0, all);
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
  uint64_t all[32];
  ::emulator::meet(mask, predicate != 0, all);
  unsigned votes = 0;
  for (int lane = 0; lane < 32; ++lane)
    if (mask >> lane & 1 && all[lane]) votes |= 1u << lane;
  return votes;
}
inline int __any_sync(unsigned mask, int predicate) {
  return __ballot_sync(mask, predicate) != 0;
}
inline int __all_sync(unsigned mask, int predicate) {
  return __ballot_sync(mask, predicate) == mask;
}

// --- arithmetic -------------------------------------------------------------------------------

template <class T>
T atomicAdd(T* at, T value) {
  const T before = *at;
  *at = static_cast<T>(before + value);
  return before;
}
template <class T>
T atomicMax(T* at, T value) {
  const T before = *at;
  *at = std::max(before, value);
  return before;
}
template <class T>
T atomicMin(T* at, T value) {
  const T before = *at;
  *at = std::min(before, value);
  return before;
}
template <class T>
T atomicExch(T* at, T value) {
  const T before = *at;
  *at = value;
  return before;
}
template <class T>
T atomicCAS(T* at, T expected, T value) {
  const T before = *at;
  if (before == expected) *at = value;
  return before;
}
template <class T>
T __ldg(const T* at) {
  return *at;
}
template <class T>
T __ldcs(const T* at) {
  return *at;
}
template <class T>
T __ldcg(const T* at) {
  return *at;
}
template <class T>
void __stcs(T* at, T value) {
  *at = value;
}

using std::max;
using std::min;
inline float rsqrtf(float x) {
  return 1 / std::sqrt(x);
}
inline double rsqrt(double x) {
  return 1 / std::sqrt(x);
}
inline float normcdff(float x) {
  return 0.5f * std::erfc(-x * 0.70710678118654752f);
}
inline double normcdf(double x) {
  return 0.5 * std::erfc(-x * 0.70710678118654752);
}
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>((uint64_t{a} * b) >> 32);
}
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  __extension__ typedef unsigned __int128 wide;
  return static_cast<unsigned long long>((wide{a} * b) >> 64);
}
inline int __popc(unsigned x) {
  return __builtin_popcount(x);
}
inline int __clz(int x) {
  return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x));
}
inline int __ffs(int x) {
  return __builtin_ffs(x);
}
inline int __float_as_int(float x) {
  int bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}
inline unsigned __float_as_uint(float x) {
  return static_cast<unsigned>(__float_as_int(x));
}
inline float __int_as_float(int bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}
inline float __uint_as_float(unsigned bits) {
  return __int_as_float(static_cast<int>(bits));
}
inline float __fdividef(float a, float b) {
  return a / b;
}

// --- launching --------------------------------------------------------------------------------

/// As CUDA's template of this name: runs at once, or is kept while the stream is captured.
template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments... arguments) {
  const std::function<void()> thread = [=] { kernel(static_cast<Parameters>(arguments)...); };
  ::emulator::Shape shape{config->gridDim, config->blockDim};
  for (unsigned i = 0; i < config->numAttrs; ++i) {
    if (config->attrs[i].id != cudaLaunchAttributeClusterDimension)
      ::emulator::die("an attribute of a launch that the emulated device does not know");
    shape.cluster = config->attrs[i].val.clusterDim.x;
  }
  return ::emulator::launch(reinterpret_cast<void*>(kernel), shape, config->dynamicSmemBytes,
                            thread);
}
/// How much static shared memory a kernel has is unknown here.
template <class Kernel>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* facts, Kernel*) {
  *facts = {};
  facts->ptxVersion = 90;
  return cudaSuccess;
}
template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel* kernel, cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaErrorInvalidValue;
  return ::emulator::allow_shared(reinterpret_cast<void*>(kernel), value);
}
template <class Kernel>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Kernel*, int threads,
                                                          size_t) {
  *blocks = std::max(2048 / threads, 1);
  return cudaSuccess;
}
template <class Kernel>
cudaError_t cudaOccupancyMaxActiveClusters(int* clusters, Kernel*,
                                           const cudaLaunchConfig_t* config) {
  *clusters = static_cast<int>(4 / config->attrs[0].val.clusterDim.x);  // few: rows come in turn
  return cudaSuccess;
}
