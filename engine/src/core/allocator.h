#pragma once

#include <cstdint>
#include <memory>
#include <mutex>

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
/// Guards what is known of a device's blocks, for fork.cpp.
std::mutex& allocator_lock(Device device);
/// Puts a block of allocate() into the cache. A GPU's may still be used by work that is queued:
/// what takes the block next is queued behind it.
void deallocate(Block block, Device device = Device::cpu) noexcept;

/// For tests, which may call it by its plain name from outside: the n-th allocation from now on,
/// counted over all threads, fails as if no memory were left; 0: none does. Returns what was left
/// of the count before.
extern "C" [[gnu::visibility("default")]] int64_t normlab_fail_allocation(int64_t n);

/// GPU memory of a captured graph, whose replays use it again and again: its blocks go to nobody
/// else while the pool lives. They count as in use. When it goes, free ones go to the cache; others
/// follow when they are free.
class GpuPool {
 public:
  GpuPool();
  ~GpuPool();
  GpuPool(const GpuPool&) = delete;
  GpuPool& operator=(const GpuPool&) = delete;

  /// While it lives, this thread's GPU blocks are the pool's.
  class Use {
   public:
    explicit Use(GpuPool& pool);
    ~Use();
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
  };

  struct Bins;

 private:
  std::unique_ptr<Bins> bins_;
};

}  // namespace normlab
