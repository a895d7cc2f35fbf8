#pragma once

#include <cstddef>
#include <cstdint>

namespace normlab {

/// Memory, 64-byte aligned, and how much of it there is.
struct Block {
  void* data = nullptr;
  int64_t bytes = 0;
};

/// A block of at least `bytes` bytes from the cache or the system. OutOfMemoryError if neither has
/// one.
Block allocate(int64_t bytes);
/// Puts a block of allocate() into the cache.
void deallocate(Block block) noexcept;

}  // namespace normlab
