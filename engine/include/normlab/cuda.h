#pragma once

#include <functional>
#include <memory>
#include <string>

#include "normlab/tensor.h"

/// The GPU: one NVIDIA device, the first that CUDA_VISIBLE_DEVICES leaves. Work is queued on one
/// stream of the engine's and runs behind the caller. A function that reads a value on the CPU
/// (item(), to_vector(), to(Device::cpu)) waits for it. Kernels check the indices, classes and
/// offsets that they use. The first that does not fit is an error at the next wait, once.
namespace normlab::cuda {

/// True if a GPU can be used. Loads the CUDA library at the first call. False in a child of a
/// process that has used the GPU: CUDA does not survive fork().
bool is_available();
/// Reason why no GPU can be used; empty if one can.
const std::string& why_not();

struct Properties {
  std::string name;          ///< "NVIDIA H100 80GB HBM3"
  int major = 0, minor = 0;  ///< compute capability
  int multiprocessors = 0;
  int64_t memory = 0;  ///< bytes
};
/// DeviceError with the reason if there is no GPU. So do the functions below, unless they say
/// otherwise.
const Properties& properties();

/// Waits until all queued work is done. DeviceError if any of it failed.
void synchronize();
/// Lets float32 matrix products round their operands to TF32 (10 bits of fraction, errors of 1e-3),
/// which tensor cores multiply several times as fast. Off by default. Needs no GPU.
void set_allow_tf32(bool allowed);
bool tf32_allowed();
/// GPU memory of the caching allocator.
MemoryStats memory_stats();
/// Gives its cached blocks back to the driver.
void empty_cache();

/// Device address of a tensor's first element. DeviceError for a tensor that is not on the GPU.
void* data(const Tensor& x);
/// The engine's stream, a cudaStream_t. Other libraries' work on it runs in order with the
/// engine's.
void* native_stream();
/// Later work on another stream (a cudaStream_t) waits for all work that the engine has queued so
/// far.
void let_wait(void* other);
/// Keeps exported memory: the tensor's block is not reused until all work queued so far is done, on
/// other streams too. synchronize() releases it at the latest.
void keep_for_others(const Tensor& x) noexcept;
/// DeviceError for `op`, which needs a result at once, values from the CPU or another stream, while
/// this thread captures a Graph.
void check_not_capturing(const char* op);

struct Recording;

/// Work that is recorded once and then queued as a whole. It pays for small networks, whose
/// training step takes longer to launch, kernel by kernel, than to run.
///
///     const auto step = [&] {
///       optimizer.zero_grad();  // first: gradients then have their place in the graph
///       loss = cross_entropy(model(x), labels);
///       loss.backward();
///       optimizer.step();
///     };
///     step();               // once without a graph: the first step allocates
///     graph.capture(step);  // runs nothing
///     for (...) {
///       x.copy_(...);       // the inputs' tensors stay, their values change
///       graph.replay();     // bit for bit what step() would do
///     }
///
/// Each replay writes the tensors that the body makes, always in the same place. Values that depend
/// on the step number advance: learning rate and bias correction of optimizers, and the random
/// numbers of this thread's generator and of others, which must outlive the graph. Older tensors
/// and modules must outlive it too, and must not move. CPU work of the body happens at capture()
/// only.
class Graph {
 public:
  Graph();
  ~Graph();
  Graph(Graph&&) noexcept;
  Graph& operator=(Graph&&) noexcept;

  /// Records the work that body() queues, in place of an earlier recording. Keeps body and its
  /// captures. No other thread may use the GPU meanwhile. Waits for the GPU and empties the cache
  /// first: during a capture no memory can be released.
  /// @throws DeviceError  no GPU, a capture within a capture, or a call that would have to wait for
  ///                      a result (item(), to(Device::cpu), ...) or take values from the CPU.
  ///                      Exceptions of body pass. Nothing is recorded then.
  /// @throws GradError    a gradient that is older than the body's zero_grad().
  void capture(std::function<void()> body);
  /// Queues it. ArgumentError if nothing is recorded, a generator has another seed than at
  /// capture() or is gone, or an optimizer is gone or its parameters have been moved.
  void replay();
  bool captured() const { return recording_ != nullptr; }

 private:
  std::unique_ptr<Recording> recording_;
};

}  // namespace normlab::cuda
