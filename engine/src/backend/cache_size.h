#pragma once

#include <cstdint>

namespace normlab {

/// Bytes of the last-level cache; 32 MB where the system does not tell.
int64_t last_cache_bytes();

}  // namespace normlab
