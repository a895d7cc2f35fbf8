#pragma once

#include <cstdint>

#include "cuda/failure.h"
#include "cuda/fault.h"

namespace normlab::cuda {

/// Attention within packed sentences, all heads, laid out as ops/attention.h has it.
struct AttentionArgs {
  DType dtype;
  const int64_t* offsets;  ///< [sentences + 1]
  int64_t rows, sentences, heads;
  int64_t depth;  ///< of a head, at most kMostDepth
  double scale;
  const void* qkv;  ///< [rows, 3, heads, depth]
  void* z;          ///< [rows, heads, depth]: written by forward, read by backward
  void* log_sum;    ///< [heads, rows]: the same; float32 for bfloat16, as delta
  ValueCheck check;

  // Backward only.
  const void* dz;
  void* delta;  ///< [heads, rows], scratch
  void* dqkv;
};

struct AttentionFunctions {
  static constexpr int64_t kMostDepth = 256;
  Failure (*forward)(const AttentionArgs& args);
  Failure (*backward)(const AttentionArgs& args);
};

}  // namespace normlab::cuda
