#pragma once

#include <cstdint>

#include "cuda/failure.h"

namespace normlab::cuda {

/// The stream itself: its order with other streams, and what is captured of it.
struct StreamFunctions {
  void* (*handle)();  ///< a cudaStream_t
  /// What comes on the other stream from now on waits for all that is queued here so far.
  Failure (*let_wait)(void* other);
  /// Waits for all streams, those of others too.
  Failure (*finish_all)();
  /// An event behind all that is queued here so far; whether it has passed, and its end.
  Failure (*mark)(void** event);
  Failure (*has_passed)(void* event, bool* passed);
  void (*forget)(void* event);

  /// From here to the capture's end, work is kept instead of run.
  Failure (*begin_capture)();
  /// Makes a graph of it; null with a failure.
  Failure (*end_capture)(void** graph);
  void (*abort_capture)();
  Failure (*replay)(void* graph);
  /// No replay may be under way.
  void (*destroy)(void* graph);
  /// Writes at most kMostWritten bytes, a multiple of 4, which go along with the call: the source
  /// may go at once, and nothing waits.
  Failure (*write)(void* to, const void* from, int64_t bytes);
  static constexpr int64_t kMostWritten = 2048;
};

extern const StreamFunctions stream_functions;  ///< within the library only

}  // namespace normlab::cuda
