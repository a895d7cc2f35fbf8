#pragma once

#include <cstddef>
#include <cstdint>

namespace normlab {

/// A block of at least `bytes` bytes, 64-byte aligned, from the cache or the system.
/// OutOfMemoryError if neither has one.
void* allocate(int64_t bytes);
/// Puts a block of allocate(bytes) into the cache.
void deallocate(void* block, int64_t bytes) noexcept;

}  // namespace normlab
