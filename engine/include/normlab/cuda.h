#pragma once

#include <string>

#include "normlab/tensor.h"

/// The GPU: one NVIDIA device, the first that CUDA_VISIBLE_DEVICES leaves. Work is queued on one
/// stream of the engine's and runs behind the caller; what reads a value on the CPU (item(),
/// to_vector(), to(Device::cpu)) waits for it. Indices, classes and offsets are checked by the
/// kernels that use them; the first that does not fit becomes an error at such a wait, once.
namespace normlab::cuda {

/// Whether a GPU can be used. Loads the CUDA library at the first call.
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

}  // namespace normlab::cuda
