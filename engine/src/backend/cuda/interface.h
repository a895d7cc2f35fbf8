#pragma once

#include <cstdint>

#include "backend/cuda/attention.h"
#include "backend/cuda/conv.h"
#include "backend/cuda/elementwise.h"
#include "backend/cuda/fault.h"
#include "backend/cuda/index.h"
#include "backend/cuda/matmul.h"
#include "backend/cuda/norm.h"
#include "backend/cuda/optim.h"
#include "backend/cuda/random.h"
#include "backend/cuda/reduce.h"
#include "backend/cuda/segments.h"
#include "backend/cuda/shape.h"
#include "backend/cuda/softmax.h"
#include "backend/cuda/stream.h"

// What the engine asks of its CUDA library (the .cu files), a shared object that is loaded when a
// GPU is first asked for: plain functions and plain data, so that neither side needs the other's
// symbols. Each family of ops has a table in a header of its own.

namespace normlab::cuda {

/// Raised whenever anything below changes: an engine never uses another version's library.
inline constexpr int kInterface = 2;

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
  /// Whether the last call that waited (synchronize, download) came upon a value that does not fit;
  /// says so once.
  bool (*take_fault)(Fault* fault);

  Failure (*copy)(void* to, const void* from, int64_t bytes);
  Failure (*upload)(void* to, const void* from, int64_t bytes);    ///< the source may go at once
  Failure (*download)(void* to, const void* from, int64_t bytes);  ///< waits for the result
  /// Writes `count` copies of an element of 1, 2, 4 or 8 bytes.
  Failure (*fill)(void* to, const void* element, int64_t size, int64_t count);

  const StreamFunctions* stream;
  const NormFunctions* norm;
  const ElementwiseFunctions* elementwise;
  const ReduceFunctions* reduce;
  const ShapeFunctions* shape;
  const MatmulFunctions* matmul;
  const ConvFunctions* conv;
  const SoftmaxFunctions* softmax;
  const AttentionFunctions* attention;
  const SegmentFunctions* segments;
  const IndexFunctions* index;
  const RandomFunctions* random;
  const OptimFunctions* optim;
};

/// The library's only symbol: its table, or null if `interface` is not its own.
using GetBackend = const Backend* (*)(int interface);
inline constexpr char kGetBackend[] = "normlab_cuda_backend";

}  // namespace normlab::cuda
