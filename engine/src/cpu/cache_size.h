#pragma once

#include <cstdint>

namespace normlab {

/// Bytes of the last-level cache that one core can fill: what the system tells, at most 32 MB.
int64_t last_cache_bytes();

}  // namespace normlab
