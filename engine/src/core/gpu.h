#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "normlab/cuda.h"
#include "normlab/tensor.h"

// What the core asks of a GPU. The layers above define it, so that the core includes none of them:
// cuda/ defines what the device and its stream do, ops/ what takes an op's kernels. The functions
// queue their work and throw DeviceError, naming `op`, unless they say otherwise.

namespace normlab {

struct TensorImpl;

namespace cuda {

/// DeviceError with the reason if no GPU can be used.
void check_available();

/// Null: the device has no more memory.
void* allocate_on_device(int64_t bytes);
/// Waits for work that may use the block.
void release_on_device(void* block) noexcept;
/// Bytes of the device that are free, and all of them.
void device_memory(int64_t& free, int64_t& total);
/// Waits for all queued work and gives back what it used. False while a thread captures a graph,
/// which cannot wait.
bool reclaim_memory();

/// Between the CPU and the device, either way, or on it. A copy to the CPU waits for its result.
void copy_to(const Tensor& to, const Tensor& from);
/// Fills x with an element of `size` bytes: 1, 2, 4 or 8.
void fill(const char* op, const Tensor& x, const void* element, int64_t size);

/// Elements of another dtype. What does not fit becomes the nearest that does.
void convert(const Tensor& from, const Tensor& to);
/// into += from, for gradients.
void add_in_place(const Tensor& into, const Tensor& from);
/// Row rows[i] of `to` becomes row i of `values`; the rows differ.
void scatter_rows(const Tensor& rows, const Tensor& values, const Tensor& to);

/// Runs release() as soon as it is seen that all work queued so far, which may use the memory, is
/// done: at the next call of this function or of finish_lent(). `elsewhere`: not that of our stream
/// alone; then it takes a wait for the whole device, for many at a time or at finish_lent(true).
void release_after_work(std::function<void()> release, bool elsewhere = false) noexcept;

/// Called before a leaf on the GPU gets its gradient: within a capture this must be its first, or
/// one of the capture's own. Cleared again if the capture fails.
void on_leaf_gradient(const std::shared_ptr<TensorImpl>& leaf);

}  // namespace cuda
}  // namespace normlab
