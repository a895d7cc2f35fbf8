#pragma once

#include <cstddef>
#include <cstdint>

// What the engine asks of its CUDA library (engine/cuda), a shared object that is loaded when a GPU
// is first asked for: plain functions and plain data, so that neither side needs the other's
// symbols.

namespace normlab::cuda {

/// Raised whenever anything below changes: an engine never uses another version's library.
inline constexpr int kInterface = 1;

/// Null, or why it failed: text that stays until the thread's next call.
using Failure = const char*;

struct DeviceFacts {
  char name[256];
  int major, minor, multiprocessors;
  int64_t memory;
};

/// Everything is queued on the library's stream, in order of the calls, unless it says otherwise.
struct Backend {
  int interface;
  /// Opens the device and its stream.
  Failure (*open)(DeviceFacts* facts);
  /// A null block without a failure: the device has no more memory.
  Failure (*allocate)(int64_t bytes, void** block);
  /// Waits for work that may use the block.
  void (*release)(void* block);
  /// Bytes of the device that are free, and all of them.
  Failure (*memory)(int64_t* free, int64_t* total);
  Failure (*synchronize)();

  Failure (*copy)(void* to, const void* from, int64_t bytes);
  Failure (*upload)(void* to, const void* from, int64_t bytes);    ///< the source may go at once
  Failure (*download)(void* to, const void* from, int64_t bytes);  ///< waits for the result
  /// Writes `count` copies of an element of 1, 4 or 8 bytes.
  Failure (*fill)(void* to, const void* element, int64_t size, int64_t count);
};

/// The library's only symbol: its table, or null if `interface` is not its own.
using GetBackend = const Backend* (*)(int interface);
inline constexpr char kGetBackend[] = "normlab_cuda_backend";

}  // namespace normlab::cuda
