#pragma once

#include <cstdint>

#include "cuda/failure.h"
#include "cuda/fault.h"
#include "cuda/stream.h"

// What the engine asks of its CUDA library (the .cu files), a shared object that is loaded when a
// GPU is first asked for: plain functions and plain data, so that neither side needs the other's
// symbols. Each family of ops has a table, declared beside the op (ops/*_cuda.h,
// optim/optim_cuda.h).

namespace normlab::cuda {

struct NormFunctions;
struct ElementwiseFunctions;
struct ReduceFunctions;
struct ShapeFunctions;
struct MatmulFunctions;
struct ConvFunctions;
struct PoolFunctions;
struct SoftmaxFunctions;
struct AttentionFunctions;
struct SegmentFunctions;
struct IndexFunctions;
struct RandomFunctions;
struct OptimFunctions;

struct DeviceFacts {
  char name[256];
  int major, minor, multiprocessors;
  int64_t memory;
};

/// Everything is queued on the library's stream, in order of the calls, unless it says otherwise.
struct Backend {
  int interface;  ///< kInterface of interface_hash.h: an engine uses no other version's library
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
  const PoolFunctions* pool;
  const SoftmaxFunctions* softmax;
  const AttentionFunctions* attention;
  const SegmentFunctions* segments;
  const IndexFunctions* index;
  const RandomFunctions* random;
  const OptimFunctions* optim;
};

// Within the library only: each is defined beside its kernels.
extern const NormFunctions norm_functions;
extern const ElementwiseFunctions elementwise_functions;
extern const ReduceFunctions reduce_functions;
extern const ShapeFunctions shape_functions;
extern const MatmulFunctions matmul_functions;
extern const ConvFunctions conv_functions;
extern const PoolFunctions pool_functions;
extern const SoftmaxFunctions softmax_functions;
extern const AttentionFunctions attention_functions;
extern const SegmentFunctions segment_functions;
extern const IndexFunctions index_functions;
extern const RandomFunctions random_functions;
extern const OptimFunctions optim_functions;

/// The library's only symbol: its table, or null if `interface` is not its own.
using GetBackend = const Backend* (*)(int interface);
inline constexpr char kGetBackend[] = "normlab_cuda_backend";

}  // namespace normlab::cuda
