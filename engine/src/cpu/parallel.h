#pragma once

#include <cstdint>

#include "cpu/pool.h"
#include "normlab/threads.h"

namespace normlab {

/// Below this many elementary operations a loop is not worth waking threads for.
inline constexpr int64_t kParallelGrain = 32768;

/// Runs body(i) for i in [0, n) on up to num_threads() threads. The chunks must not depend on the
/// number of threads, so that results do not either. `cost` is the work of one i in elementary
/// operations. body must not throw.
template <class Body>
void parallel_for(int64_t n, int64_t cost, const Body& body) {
  const int64_t worth = n * (cost > 0 ? cost : 1) / kParallelGrain;
  int threads = num_threads();
  if (worth < threads) threads = worth < 1 ? 1 : static_cast<int>(worth);
  if (n < threads) threads = static_cast<int>(n);
  const auto range = [](const void* it, int64_t first, int64_t last) {
    const Body& each = *static_cast<const Body*>(it);
    for (int64_t i = first; i < last; ++i) each(i);
  };
  if (threads > 1) return pool::run(n, cost, threads, range, &body);
  range(&body, 0, n);
}

/// Calls body(begin, end) over fixed blocks of [0, n), `block` long but for the last.
template <class Body>
void parallel_blocks(int64_t n, int64_t block, int64_t cost, const Body& body) {
  const int64_t blocks = (n + block - 1) / block;
  parallel_for(blocks, block * cost, [&](int64_t i) {
    const int64_t begin = i * block;
    body(begin, begin + block < n ? begin + block : n);
  });
}

}  // namespace normlab
