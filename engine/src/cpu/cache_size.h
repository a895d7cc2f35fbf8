#pragma once

#include <cstdint>

namespace normlab {

/// Bytes of the last-level cache that one core can fill: what the system tells, at most 32 MB.
int64_t last_cache_bytes();

/// True if p starts a line of every cache, as streaming stores of whole lines need it.
inline bool on_cache_line(const void* p) {
  return reinterpret_cast<uintptr_t>(p) % 64 == 0;
}

}  // namespace normlab
