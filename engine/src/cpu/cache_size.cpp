#include "cpu/cache_size.h"

#include <unistd.h>

#include <algorithm>

namespace normlab {
namespace {

/// Systems in virtual machines report the cache of a whole socket; one core reaches only the part
/// of its own complex.
constexpr int64_t kMost = int64_t{32} << 20;

int64_t reported() {
#if defined(_SC_LEVEL3_CACHE_SIZE)
  if (const int64_t level3 = sysconf(_SC_LEVEL3_CACHE_SIZE); level3 > 0) return level3;
  return sysconf(_SC_LEVEL2_CACHE_SIZE);
#else
  return 0;
#endif
}

}  // namespace

int64_t last_cache_bytes() {
  static const int64_t bytes = [] {
    const int64_t found = reported();
    return found > 0 ? std::min(found, kMost) : kMost;
  }();
  return bytes;
}

}  // namespace normlab
