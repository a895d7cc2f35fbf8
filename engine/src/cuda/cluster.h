#pragma once

#include "cuda/launch.h"

// Clusters: blocks that run at the same time and reach each other's shared memory. Devices of
// compute capability 9.0 and later have them (has_clusters()).

namespace normlab::cuda {

/// More blocks are not allowed on every device.
inline constexpr unsigned kMostBlocks = 8;

/// The running block's cluster, along x.
struct Cluster {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  static __device__ unsigned rank() {
    unsigned rank = 0;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
  }
  static __device__ unsigned size() {
    unsigned size = 0;
    asm volatile("mov.u32 %0, %%cluster_nctarank;" : "=r"(size));
    return size;
  }
  /// Waits for all threads of the cluster; what they wrote before is seen behind it.
  static __device__ void sync() {
    asm volatile(
        "barrier.cluster.arrive.release;\n\t"
        "barrier.cluster.wait.acquire;" ::
            : "memory");
  }
  /// Where a place in this block's shared memory is in that of another block, which must have begun
  /// and not ended.
  template <class T>
  static __device__ T* in_block(T* shared, unsigned rank) {
    T* there = nullptr;
    asm volatile("mapa.u64 %0, %1, %2;" : "=l"(there) : "l"(shared), "r"(rank));
    return there;
  }
#elif defined(__CUDACC__)  // never launched in clusters
  static __device__ unsigned rank() {
    return 0;
  }
  static __device__ unsigned size() {
    return 1;
  }
  static __device__ void sync() {}
  template <class T>
  static __device__ T* in_block(T* shared, unsigned) {
    return shared;
  }
#else
  static unsigned rank() {
    return ::emulator::cluster_rank();
  }
  static unsigned size() {
    return ::emulator::shape.cluster;
  }
  static void sync() {
    ::emulator::cluster_barrier();
  }
  template <class T>
  static T* in_block(T* shared, unsigned rank) {
    return static_cast<T*>(::emulator::in_block(shared, rank));
  }
#endif
};

/// How clusters of `blocks` blocks are to be launched.
class ClusterLaunch {
 public:
  ClusterLaunch(size_t shared, unsigned clusters, unsigned blocks, dim3 block) {
    cluster_.id = cudaLaunchAttributeClusterDimension;
    cluster_.val.clusterDim.x = blocks;
    cluster_.val.clusterDim.y = cluster_.val.clusterDim.z = 1;
    config_.gridDim = clusters * blocks;
    config_.blockDim = block;
    config_.dynamicSmemBytes = shared;
    config_.attrs = &cluster_;
    config_.numAttrs = 1;
  }
  ClusterLaunch(const ClusterLaunch&) = delete;
  ClusterLaunch& operator=(const ClusterLaunch&) = delete;

  /// How many of them the device runs at once; at least 1.
  template <class... Parameters>
  unsigned at_once(void (*kernel)(Parameters...)) const {
    const OnDevice here;
    int clusters = 0;
    if (allow_shared(kernel) == nullptr &&
        cudaOccupancyMaxActiveClusters(&clusters, kernel, &config_) != cudaSuccess)
      cudaGetLastError();
    return clusters > 0 ? static_cast<unsigned>(clusters) : 1;
  }

  /// Queues a kernel.
  template <class... Parameters, class... Arguments>
  Failure operator()(void (*kernel)(Parameters...), const Arguments&... arguments) {
    const OnDevice here;
    if (const Failure failure = allow_shared(kernel)) return failure;
    config_.stream = stream();
    return failure_of(cudaLaunchKernelEx(&config_, kernel, static_cast<Parameters>(arguments)...));
  }

 private:
  cudaLaunchAttribute cluster_{};
  cudaLaunchConfig_t config_{};
};

}  // namespace normlab::cuda
