#pragma once

#include <cstdint>

#include "cuda/failure.h"
#include "cuda/fault.h"

namespace normlab::cuda {

/// Packed sentences: sentence s is rows [offsets[s], offsets[s + 1]) of x [rows, size].
struct SegmentArgs {
  const int64_t* offsets;  ///< [sentences + 1]
  int64_t sentences, rows, size;
  ValueCheck check;
};

struct SegmentFunctions {
  /// Checks the offsets, for ops that have nothing else to do.
  Failure (*check)(const SegmentArgs& args);
  /// z [sentences, size]: means of the rows, 0 of none.
  Failure (*mean)(DType dtype, const SegmentArgs& args, const void* x, void* z);
  Failure (*mean_backward)(DType dtype, const SegmentArgs& args, const void* dz, void* dx);
  /// z [rows, size]: sin and cos of p / 10000^(2 i / size), side by side, times `scale`, where p is
  /// the row's place in its sentence.
  Failure (*positions)(const SegmentArgs& args, double scale, float* z);
};

}  // namespace normlab::cuda
