#pragma once

#include <functional>
#include <memory>
#include <string>

#include "normlab/tensor.h"

/// The GPU: one NVIDIA device, the first that CUDA_VISIBLE_DEVICES leaves. Work is queued on one
/// stream of the engine's and runs behind the caller; what reads a value on the CPU (item(),
/// to_vector(), to(Device::cpu)) waits for it. Indices, classes and offsets are checked by the
/// kernels that use them; the first that does not fit becomes an error at such a wait, once.
namespace normlab::cuda {

/// Whether a GPU can be used. Loads the CUDA library at the first call. Not in a process that was
/// forked from one that has used it: CUDA does not survive that.
bool is_available();
/// Why not; empty if it can.
const std::string& why_not();

struct Properties {
  std::string name;          ///< "NVIDIA H100 80GB HBM3"
  int major = 0, minor = 0;  ///< compute capability
  int multiprocessors = 0;
  int64_t memory = 0;  ///< bytes
};
/// DeviceError with the reason if there is no GPU; so do the others below, unless they say not.
const Properties& properties();

/// Waits until all queued work is done. DeviceError if any of it failed.
void synchronize();
/// Whether float32 matrix products may round their operands to TF32 (10 bits of fraction, errors of
/// 1e-3), which tensor cores multiply several times as fast. Off until it is turned on; needs no
/// GPU.
void set_allow_tf32(bool allowed);
bool tf32_allowed();
/// What the caching allocator holds of the GPU's memory.
MemoryStats memory_stats();
/// Gives its cached blocks back to the driver.
void empty_cache();

/// Where a tensor's first element lies in the GPU's memory. DeviceError if it is not there.
void* data(const Tensor& x);
/// The stream, a cudaStream_t: for work of others in order with the engine's.
void* native_stream();
/// What is queued on another stream (a cudaStream_t) from now on waits for all that is queued here
/// so far.
void let_wait(void* other);
/// Keeps a tensor's memory from being used anew until all is done that is queued so far, on streams
/// of others too: for memory that was lent to them. At the latest synchronize() gives it back.
void keep_for_others(const Tensor& x) noexcept;
/// DeviceError for `op`, which needs a result at once, values from the CPU or another stream, while
/// this thread captures a Graph.
void check_not_capturing(const char* op);

struct Recording;

/// Work that is recorded once and then queued as a whole: a training step of a small network takes
/// longer to launch, kernel by kernel, than to run.
///
///     const auto step = [&] {
///       optimizer.zero_grad();  // first: gradients then have their place in the graph
///       loss = cross_entropy(model(x), labels);
///       loss.backward();
///       optimizer.step();
///     };
///     step();               // once as it is: makes what is made at a first time
///     graph.capture(step);  // runs nothing
///     for (...) {
///       x.copy_(...);       // the inputs' tensors stay, their values change
///       graph.replay();     // bit for bit what step() would do
///     }
///
/// Tensors that the body makes get their values with each replay, always in the same place. What
/// depends on the step's number goes along: learning rate and bias correction of optimizers, and
/// the random numbers of this thread's generator, and of others that must outlive the graph.
/// Tensors and modules that were there before must outlive it too, and stay where they are on the
/// GPU.
/// What the body does on the CPU happens at capture() alone.
class Graph {
 public:
  Graph();
  ~Graph();
  Graph(Graph&&) noexcept;
  Graph& operator=(Graph&&) noexcept;

  /// Records what body() queues in place of what was recorded before; keeps body, and with it what
  /// it holds. No other thread may use the GPU meanwhile. Waits for the GPU and empties the cache
  /// before: in a capture no memory can be given back.
  /// @throws DeviceError  no GPU, a capture within a capture, or something in it that would have to
  ///                      wait for a result (item(), to(Device::cpu), ...) or take values from the
  ///                      CPU; whatever body throws. Nothing is recorded then.
  /// @throws GradError    a gradient that was there before the body's zero_grad().
  void capture(std::function<void()> body);
  /// Queues it. ArgumentError if nothing is recorded, a generator has another seed than at
  /// capture() or is gone, or an optimizer is gone or its parameters have been moved.
  void replay();
  bool captured() const { return recording_ != nullptr; }

 private:
  std::unique_ptr<Recording> recording_;
};

}  // namespace normlab::cuda
