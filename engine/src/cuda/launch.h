#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "cuda/interface.h"

namespace normlab::cuda {

/// The stream that all work is queued on.
cudaStream_t stream();
/// From now on that one for this thread, for a capture; null: the library's own again.
void queue_on(cudaStream_t recorder);

/// While it lives, the device is the calling thread's: new threads and other libraries have theirs,
/// which it gives back.
class OnDevice {
 public:
  OnDevice() {
    cudaGetDevice(&before_);
    if (before_ != kDevice) cudaSetDevice(kDevice);
  }
  ~OnDevice() {
    if (before_ != kDevice) cudaSetDevice(before_);
  }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;
  static constexpr int kDevice = 0;

 private:
  int before_ = kDevice;
};

/// While it lives, this thread may allocate memory and ask for events although another library
/// captures a graph: in CUDA's default mode that fails, and spoils the capture.
class RelaxedMode {
 public:
  RelaxedMode() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  ~RelaxedMode() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  RelaxedMode(const RelaxedMode&) = delete;
  RelaxedMode& operator=(const RelaxedMode&) = delete;

 private:
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

/// How many multiprocessors the device has.
int multiprocessors();

/// Whether blocks can be launched in clusters, see cluster.h.
bool has_clusters();

/// The most shared memory that a block can have, in bytes.
size_t most_shared_memory();

/// Null for success, else the error in words.
Failure failure_of(cudaError_t error);

/// Queues writing `byte` everywhere.
Failure set_bytes(void* to, int byte, int64_t bytes);

/// The block's dynamic shared memory, aligned to 16 bytes.
template <class T>
__device__ T* dynamic_shared() {
#if defined(__CUDACC__)
  extern __shared__ __align__(16) unsigned char shared_bytes[];
  return reinterpret_cast<T*>(shared_bytes);
#else
  return static_cast<T*>(::emulator::dynamic_shared());
#endif
}

/// Lets a kernel have all the dynamic shared memory that there is beside its static. Always as
/// much: less would take from what another thread or a graph is about to launch.
template <class... Parameters>
Failure allow_shared(void (*kernel)(Parameters...)) {
  cudaFuncAttributes facts{};
  cudaError_t error = cudaFuncGetAttributes(&facts, kernel);
  if (error == cudaSuccess)
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 static_cast<int>(most_shared_memory() - facts.sharedSizeBytes));
  return failure_of(error);
}

/// Queues a kernel that has `shared` bytes of dynamic shared memory.
template <class... Parameters, class... Arguments>
Failure launch_shared(size_t shared, void (*kernel)(Parameters...), dim3 grid, dim3 block,
                      const Arguments&... arguments) {
  const OnDevice here;
  // A block has 48 KB without asking, for its static and dynamic memory together: the static part
  // of a kernel that has both is at most 8 KB.
  constexpr size_t kWithoutAsking = size_t{40} << 10;
  if (shared > kWithoutAsking)
    if (const Failure failure = allow_shared(kernel)) return failure;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared;
  config.stream = stream();
  return failure_of(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...));
}

/// Queues a kernel.
template <class... Parameters, class... Arguments>
Failure launch(void (*kernel)(Parameters...), dim3 grid, dim3 block,
               const Arguments&... arguments) {
  return launch_shared(0, kernel, grid, block, arguments...);
}

/// Blocks for n elements, `each` a block. n may be any number; a grid's x goes to 2^31 - 1.
inline unsigned blocks_for(int64_t n, int64_t each) {
  return static_cast<unsigned>((n + each - 1) / each);
}

/// What a stored element is computed in.
template <class T>
using compute_t = std::conditional_t<std::is_same_v<T, bfloat16>, float, T>;
template <class T>
__device__ constexpr compute_t<T> widened(T x) {
  return static_cast<compute_t<T>>(x);
}

/// Calls body.operator()<T>() with float or double.
template <class Body>
Failure for_floating(DType dtype, const Body& body) {
  return dtype == DType::float64 ? body.template operator()<double>()
                                 : body.template operator()<float>();
}

/// The same with bfloat16 as well.
template <class Body>
Failure for_stored(DType dtype, const Body& body) {
  return dtype == DType::bfloat16 ? body.template operator()<bfloat16>()
                                  : for_floating(dtype, body);
}

/// Calls body.operator()<T>() with the integer type; bool is read as uint8.
template <class Body>
Failure for_integers(DType dtype, const Body& body) {
  if (dtype == DType::int32) return body.template operator()<int32_t>();
  if (dtype == DType::int64) return body.template operator()<int64_t>();
  return body.template operator()<uint8_t>();
}

}  // namespace normlab::cuda
