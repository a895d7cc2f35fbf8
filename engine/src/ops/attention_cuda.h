#pragma once

#include <cstdint>

#include "cuda/failure.h"
#include "cuda/fault.h"

namespace normlab::cuda {

/// Attention within packed sentences, all heads. Rows are heads * depth elements, beginning `step`
/// elements apart.
struct AttentionArgs {
  DType dtype;
  const int64_t* offsets;  ///< [sentences + 1], of queries
  /// Sentence s has the keys [key_begin[s], key_end[s]).
  const int64_t *key_begin, *key_end;
  int64_t rows, key_rows, sentences, heads;
  int64_t depth;  ///< of a head, at most kMostDepth
  bool causal;    ///< query i of n sees the keys j <= m - n + i of m
  /// key_begin and key_end are offsets of their own, to check by key_check.
  bool checks_keys;
  double scale;
  const void *q, *k, *v;
  int64_t q_step, kv_step;
  void* z;        ///< [rows, heads, depth]: written by forward, read by backward
  void* log_sum;  ///< [heads, rows]: the same; float32 for bfloat16, as delta
  ValueCheck check, key_check;

  // Backward only.
  const void* dz;
  void* delta;  ///< [heads, rows], scratch
  void *dq, *dk, *dv;
};

/// Rows of kv [rows, 2, size] behind those that a cache has of their sentences.
struct AppendArgs {
  DType dtype;
  const int64_t* offsets;  ///< [sentences + 1], checked
  const int64_t* to;  ///< [sentences]: the row of the cache that a sentence's first row becomes
  int64_t rows, sentences, size;
  const void* kv;
  int64_t step;  ///< of kv
  void* cache;   ///< [..., 2, size]
};

struct AttentionFunctions {
  static constexpr int64_t kMostDepth = 256;
  Failure (*forward)(const AttentionArgs& args);
  Failure (*backward)(const AttentionArgs& args);
  Failure (*append)(const AppendArgs& args);
};

}  // namespace normlab::cuda
