#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "cuda/blas.h"
#include "cuda/elements.h"
#include "cuda/interface_hash.h"
#include "cuda/value_check.h"

// The device, its stream and its memory.

namespace normlab::cuda {

namespace {

cudaStream_t the_stream = nullptr;
thread_local cudaStream_t the_recorder = nullptr;  ///< while this thread captures
int the_multiprocessors = 0;
size_t the_shared_memory = 0;
bool the_clusters = false;  ///< whether there are any

// --- values that do not fit -------------------------------------------------------------------

constexpr Fault kNoFault = {.lock = 0,
                            .kind = FaultKind::index,
                            .ticket = kNoTicket,
                            .place = 0,
                            .value = 0,
                            .before = 0,
                            .check = {}};
Fault* the_fault = nullptr;  ///< on the device
Fault* the_seen = nullptr;   ///< as it was when last waited for
std::mutex the_fault_mutex;  ///< of the_seen
std::atomic<int64_t> the_tickets{0};

cudaError_t clear_fault() {
  const OnDevice here;
  *the_seen = kNoFault;
  return cudaMemcpyAsync(the_fault, &kNoFault, sizeof kNoFault, cudaMemcpyHostToDevice, the_stream);
}

cudaError_t open_fault() {
  cudaError_t error = cudaMalloc(reinterpret_cast<void**>(&the_fault), sizeof(Fault));
  if (error == cudaSuccess)
    error = cudaHostAlloc(reinterpret_cast<void**>(&the_seen), sizeof(Fault), cudaHostAllocDefault);
  return error == cudaSuccess ? clear_fault() : error;
}

/// Waits for all queued work, and for what it found. Under the mutex.
Failure wait() {
  const OnDevice here;
  cudaError_t error =
      cudaMemcpyAsync(the_seen, the_fault, sizeof(Fault), cudaMemcpyDeviceToHost, the_stream);
  if (error == cudaSuccess) error = cudaStreamSynchronize(the_stream);
  return failure_of(error);
}

bool take_fault(Fault* fault) {
  const std::lock_guard lock(the_fault_mutex);
  if (the_seen->ticket == kNoTicket) return false;
  *fault = *the_seen;
  clear_fault();
  return true;
}

// --- the device -------------------------------------------------------------------------------

/// Whether the device itself reads pageable memory, when a copy's turn comes.
bool the_device_reads = false;

cudaError_t ask_for_reading() {
  int reads = 0;
  const cudaError_t error = cudaDeviceGetAttribute(
      &reads, cudaDevAttrPageableMemoryAccessUsesHostPageTables, OnDevice::kDevice);
  the_device_reads = reads != 0;
  return error;
}

/// Null if there is a GPU.
Failure find_device() {
  int driver = 0, count = 0;
  cudaError_t error = cudaDriverGetVersion(&driver);
  if (error == cudaSuccess && driver == 0) return "this machine has no NVIDIA driver";
  if (error == cudaSuccess) error = cudaGetDeviceCount(&count);
  thread_local char text[200];
  if (error == cudaErrorInsufficientDriver) {
    std::snprintf(text, sizeof text,
                  "the NVIDIA driver is for CUDA %d.%d, this build needs one for CUDA %d",
                  driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000);
    return text;
  }
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  const bool none = error == cudaErrorNoDevice || (error == cudaSuccess && count == 0);
  if (none && visible) {
    std::snprintf(text, sizeof text, "CUDA_VISIBLE_DEVICES, '%.100s', leaves no NVIDIA GPU",
                  visible);
    return text;
  }
  return none ? "there is no NVIDIA GPU" : failure_of(error);
}

__global__ void any_kernel() {}

/// Null if this build has kernels that the device runs.
Failure check_kernels(const cudaDeviceProp& gpu) {
  cudaFuncAttributes facts{};
  const cudaError_t error = cudaFuncGetAttributes(&facts, any_kernel);
  // Kernels compiled for an older device, which the driver makes fit, know nothing of clusters.
  the_clusters = gpu.major >= 9 && facts.ptxVersion >= 90;
  if (error != cudaErrorNoKernelImageForDevice && error != cudaErrorInvalidDeviceFunction)
    return failure_of(error);
  cudaGetLastError();
  thread_local char text[400];
  std::snprintf(
      text, sizeof text,
      "%s has compute capability %d.%d, for which this build has no kernels (8.0 or newer, "
      "if CMAKE_CUDA_ARCHITECTURES names it)",
      gpu.name, gpu.major, gpu.minor);
  return text;
}

Failure open(DeviceFacts* facts) {
  if (const Failure failure = find_device()) return failure;
  const OnDevice here;
  cudaDeviceProp properties{};
  cudaError_t error = cudaGetDeviceProperties(&properties, OnDevice::kDevice);
  if (error != cudaSuccess) return failure_of(error);
  if (const Failure failure = check_kernels(properties)) return failure;
  error = ask_for_reading();
  // A blocking stream: what others queue on the default stream stays in order with ours.
  if (error == cudaSuccess) error = cudaStreamCreate(&the_stream);
  if (error == cudaSuccess) error = open_fault();
  if (error != cudaSuccess) return failure_of(error);
  if (const Failure failure = open_blas()) return failure;
  std::snprintf(facts->name, sizeof facts->name, "%s", properties.name);
  facts->major = properties.major;
  facts->minor = properties.minor;
  facts->multiprocessors = the_multiprocessors = properties.multiProcessorCount;
  facts->memory = static_cast<int64_t>(properties.totalGlobalMem);
  the_shared_memory = properties.sharedMemPerBlockOptin;
  return nullptr;
}

Failure allocate(int64_t bytes, void** block) {
  *block = nullptr;
  const OnDevice here;
  const RelaxedMode mode;
  const cudaError_t error = cudaMalloc(block, static_cast<size_t>(bytes));
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // the process stays usable
    *block = nullptr;
    return nullptr;
  }
  return failure_of(error);
}

void release(void* block) {
  const OnDevice here;
  const RelaxedMode mode;
  cudaFree(block);
}

Failure memory(int64_t* free, int64_t* total) {
  const OnDevice here;
  size_t now = 0, all = 0;
  const cudaError_t error = cudaMemGetInfo(&now, &all);
  *free = static_cast<int64_t>(now);
  *total = static_cast<int64_t>(all);
  return failure_of(error);
}

Failure synchronize() {
  const std::lock_guard lock(the_fault_mutex);
  return wait();
}

Failure copy(void* to, const void* from, int64_t bytes) {
  const OnDevice here;
  return failure_of(
      cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToDevice, stream()));
}

/// Whether a copy from there has read it when the call returns: not from pinned memory.
bool is_read_at_once(const void* from) {
  cudaPointerAttributes attributes{};
  const cudaError_t error = cudaPointerGetAttributes(&attributes, from);
  return error == cudaSuccess && attributes.type == cudaMemoryTypeUnregistered && !the_device_reads;
}

Failure upload(void* to, const void* from, int64_t bytes) {
  const OnDevice here;
  cudaError_t error =
      cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, the_stream);
  if (error == cudaSuccess && !is_read_at_once(from)) error = cudaStreamSynchronize(the_stream);
  return failure_of(error);
}

Failure download(void* to, const void* from, int64_t bytes) {
  const OnDevice here;
  const std::lock_guard lock(the_fault_mutex);
  const cudaError_t error =
      cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost, the_stream);
  return error == cudaSuccess ? wait() : failure_of(error);
}

template <class T>
__global__ void fill_kernel(T* to, T element, int64_t count) {
  for (int64_t i = element_index(); i < count; i += element_step()) to[i] = element;
}

/// Whether all bytes of an element are the same: those of zero are, and those of a single one.
bool is_one_byte(const void* element, int64_t size) {
  const auto* bytes = static_cast<const unsigned char*>(element);
  for (int64_t i = 1; i < size; ++i)
    if (bytes[i] != bytes[0]) return false;
  return true;
}

Failure fill(void* to, const void* element, int64_t size, int64_t count) {
  if (count == 0) return nullptr;
  if (is_one_byte(element, size))
    return set_bytes(to, *static_cast<const unsigned char*>(element), size * count);
  return for_item(size, [&]<class T>() {
    T value;
    std::memcpy(&value, element, sizeof value);
    return launch(fill_kernel<T>, element_blocks(count), kElementThreads, static_cast<T*>(to),
                  value, count);
  });
}

constexpr Backend kBackend = {
    .interface = kInterface,
    .open = open,
    .allocate = allocate,
    .release = release,
    .memory = memory,
    .synchronize = synchronize,
    .take_fault = take_fault,
    .copy = copy,
    .upload = upload,
    .download = download,
    .fill = fill,
    .stream = &stream_functions,
    .norm = &norm_functions,
    .elementwise = &elementwise_functions,
    .reduce = &reduce_functions,
    .shape = &shape_functions,
    .matmul = &matmul_functions,
    .conv = &conv_functions,
    .pool = &pool_functions,
    .softmax = &softmax_functions,
    .attention = &attention_functions,
    .segments = &segment_functions,
    .index = &index_functions,
    .random = &random_functions,
    .optim = &optim_functions,
};

}  // namespace

cudaStream_t stream() {
  return the_recorder ? the_recorder : the_stream;
}

void queue_on(cudaStream_t recorder) {
  the_recorder = recorder;
}

int multiprocessors() {
  return the_multiprocessors;
}

bool has_clusters() {
  return the_clusters;
}

size_t most_shared_memory() {
  return the_shared_memory;
}

Failure set_bytes(void* to, int byte, int64_t bytes) {
  const OnDevice here;
  return failure_of(cudaMemsetAsync(to, byte, static_cast<size_t>(bytes), stream()));
}

Checker checker_for(const ValueCheck& check) {
  return {check, the_tickets.fetch_add(1), the_fault};
}

namespace {

/// Whether all further calls fail too, whatever they do.
bool is_lost(cudaError_t error) {
  for (const cudaError_t sticky :
       {cudaErrorIllegalAddress, cudaErrorMisalignedAddress, cudaErrorIllegalInstruction,
        cudaErrorInvalidAddressSpace, cudaErrorInvalidPc, cudaErrorHardwareStackError,
        cudaErrorLaunchFailure, cudaErrorLaunchTimeout, cudaErrorAssert, cudaErrorECCUncorrectable})
    if (error == sticky) return true;
  return false;
}

}  // namespace

Failure failure_of(cudaError_t error) {
  if (error == cudaSuccess) return nullptr;
  thread_local char text[512];
  std::snprintf(
      text, sizeof text, "%s (%s)%s", cudaGetErrorString(error), cudaGetErrorName(error),
      is_lost(error) ? ", perhaps in work queued before; this process has lost the GPU" : "");
  return text;
}

}  // namespace normlab::cuda

extern "C" __attribute__((visibility("default"))) const normlab::cuda::Backend*
normlab_cuda_backend(int interface) {
  return interface == normlab::cuda::kInterface ? &normlab::cuda::kBackend : nullptr;
}
