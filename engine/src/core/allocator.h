#pragma once

#include <cstdint>

#include "normlab/tensor.h"

namespace normlab {

/// Memory, aligned to 64 bytes (256 on a GPU), and how much of it there is.
struct Block {
  void* data = nullptr;
  int64_t bytes = 0;
};

/// A block of at least `bytes` bytes from the device's cache or from the device. OutOfMemoryError
/// if neither has one: how much was asked for, is in use, cached and free; DeviceError without a
/// GPU.
Block allocate(int64_t bytes, Device device = Device::cpu);
/// Puts a block of allocate() into the cache. A GPU's may still be used by work that is queued:
/// what takes the block next is queued behind it.
void deallocate(Block block, Device device = Device::cpu) noexcept;

}  // namespace normlab
