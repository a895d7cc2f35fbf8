#pragma once

#include <vector>

#include "normlab/tensor.h"

namespace normlab {

/// Where the sentences of a batch stand in a cache: sentence s in slot[s], which several share if
/// nothing is appended.
struct CachedSentences {
  std::vector<int64_t> slot, length;
  int64_t slots = 0, capacity = 0;  ///< of the storage: slots, tokens of each
};

/// Keys and values of sentences that grow, as the kernels read them: on the CPU keys as columns
/// [slots, heads, depth, capacity] and values as rows that are padded to whole vectors, on the GPU
/// both as rows [slots, 1, capacity, 2 D].
class KeyValues {
 public:
  bool empty() const { return !keys_.defined(); }
  /// Writes keys and values, the last two parts of the rows of kv, behind the first length[s] of
  /// each sentence s.
  void append(const Tensor& kv, const Tensor& offsets, int64_t heads, int64_t size,
              const CachedSentences& sentences);
  /// Copies all of a slot into another.
  void copy(int64_t from, int64_t to);
  /// Attention of the queries, the first part of the rows of q, to the first keys[s] of each
  /// sentence; see cross_attention(). Nothing is recorded.
  Tensor attend(const Tensor& q, const Tensor& offsets, const std::vector<int64_t>& slot,
                const std::vector<int64_t>& keys, bool causal) const;

  /// Makes room for them.
  void reserve(const CachedSentences& sentences);

 private:
  void append_on_gpu(const Tensor& kv, const Tensor& offsets, const CachedSentences& sentences);
  Tensor attend_on_gpu(const Tensor& q, const Tensor& offsets, const std::vector<int64_t>& slot,
                       const std::vector<int64_t>& keys, bool causal) const;
  Tensor keys_, values_;  // on the GPU only the first
  int64_t heads_ = 0, depth_ = 0;
};

}  // namespace normlab
