#pragma once

#include <cstdint>

// The engine's threads. OpenMP's wait for each other at the end of every loop: when other work
// holds a processor, one late thread stops all. Here a thread that is late costs nothing before it
// has begun, and the loops use fewer threads while threads are late.
namespace normlab::pool {

/// What a loop does with [first, last).
using Body = void (*)(const void* data, int64_t first, int64_t last);

/// Calls body(data, ...) for ranges that are [0, n) together, on the calling thread and on up to
/// `threads` - 1 others that are free, and returns when all calls have returned. `cost` is the work
/// of one i in elementary operations. Within a loop, another one runs on its own thread alone. body
/// must not throw.
void run(int64_t n, int64_t cost, int threads, Body body, const void* data);

/// For the handlers of fork(): while it is locked, no thread is being added.
void lock();
void unlock();
/// For the child: the parent's threads do not exist there. Whether some had worked.
bool forget_threads();

}  // namespace normlab::pool
