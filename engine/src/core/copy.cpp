#include <cstring>

#include "core/accumulate.h"
#include "cpu/cache_size.h"
#include "cpu/parallel.h"

namespace normlab {
namespace {

constexpr int64_t kBlock = 1 << 18;

}  // namespace

void copy_bytes(void* to, const void* from, int64_t bytes) {
  // Reading each line before it is overwritten costs a third of the traffic of a large copy; but
  // what lies in the caches of all threads together is copied faster through them.
  const bool stream =
      on_cache_line(to) && on_cache_line(from) && 4 * bytes >= last_cache_bytes() * num_threads();
  const auto& kernels = accumulate_kernels_for_cpu();
  parallel_blocks(bytes, kBlock, 1, [&](int64_t begin, int64_t end) {
    char* out = static_cast<char*>(to) + begin;
    const char* in = static_cast<const char*>(from) + begin;
    const int64_t whole = stream ? (end - begin) / 64 * 64 : 0;
    if (whole > 0) kernels.copy_streaming(out, in, whole);
    std::memcpy(out + whole, in + whole, static_cast<size_t>(end - begin - whole));
  });
}

}  // namespace normlab
