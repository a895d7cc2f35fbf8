#pragma once

#include <cstdint>

#include "cpu/fork.h"
#include "normlab/threads.h"

namespace normlab {

/// Below this many elementary operations a loop is not worth waking threads for.
inline constexpr int64_t kParallelGrain = 32768;

/// body(i) for i in [0, n) on a team of OpenMP's.
template <class Body>
void run_on_team(int64_t n, int threads, const Body& body) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t i = 0; i < n; ++i) body(i);
}

/// Runs body(i) for i in [0, n) on up to num_threads() threads. The chunks must not depend on the
/// number of threads, so that results do not either. `cost` is the work of one i in elementary
/// operations. body must not throw.
template <class Body>
void parallel_for(int64_t n, int64_t cost, const Body& body) {
  const int64_t worth = n * (cost > 0 ? cost : 1) / kParallelGrain;
  int threads = num_threads();
  if (worth < threads) threads = worth < 1 ? 1 : static_cast<int>(worth);
  if (n < threads) threads = static_cast<int>(n);
  if (threads > 1) {
    if (opens_regions()) return run_on_team(n, threads, body);
    const auto work = [&] { run_on_team(n, threads, body); };
    using Work = decltype(work);
    if (run_elsewhere([](const void* it) { (*static_cast<Work*>(it))(); }, &work)) return;
  }
  for (int64_t i = 0; i < n; ++i) body(i);
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
