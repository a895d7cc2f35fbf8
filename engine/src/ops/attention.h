#pragma once

#include <cstdint>

#include "cpu/isa.h"

namespace normlab {

/// Elements (row, column) of one head at data[row * row_step + column * column_step].
template <class T>
struct HeadRows {
  T* data = nullptr;
  int64_t row_step = 0, column_step = 1;
  bool padded = false;  ///< rows can be read in whole vectors
  T* at(int64_t row) const { return data + row * row_step; }
};

/// One head of one sentence: rows of `depth` elements. Of all but k the column_step is 1.
template <class T>
struct AttentionHead {
  int64_t queries = 0, keys = 0, depth = 0;
  bool causal = false;  ///< query i sees the keys j <= keys - queries + i
  T scale = 1;
  HeadRows<const T> q, k, v;
  HeadRows<T> z;
  T* log_sum = nullptr;  ///< [queries]: log of the sum of exp(scale * q k) over the keys

  // Backward only.
  HeadRows<const T> dz;
  HeadRows<T> dq, dk, dv;

  /// Weights and the gradients of scores are rounded to bfloat16 before they are multiplied.
  bool bfloat16_products = false;

  /// Keys that a query sees.
  int64_t seen_by(int64_t query) const { return causal ? keys - queries + query + 1 : keys; }
};

/// Queries that are worked on at a time: their scores against all keys stay in the cache.
inline constexpr int64_t kQueries = 40;

/// Rows of scratch that whole vectors of any instruction set can be read from.
constexpr int64_t padded_to_vectors(int64_t n) {
  return (n + 15) / 16 * 16;
}
/// Floats of scratch, 64-byte aligned, that one head needs.
inline int64_t attention_scratch(const AttentionHead<float>& h) {
  const bool backward = h.dq.data != nullptr;
  const int64_t sides = backward ? 2 : 1, width = padded_to_vectors(h.keys);
  const int64_t odd_rows = h.keys * sides + (backward ? 2 * h.queries : 0);  // v; and k, q, dz
  const int64_t turned = (h.k.row_step == 1 ? 0 : 1) + (backward ? 1 : 0);   // k; and v
  return odd_rows * padded_to_vectors(h.depth) + turned * h.depth * width +
         sides * (h.queries < kQueries ? h.queries : kQueries) * width;
}

/// Backward takes the weights as exp(scale q k - log_sum): of scores as great as 1e4 they differ
/// from forward's by a thousandth.
struct AttentionKernels {
  void (*forward)(const AttentionHead<float>& head, float* scratch);
  void (*backward)(const AttentionHead<float>& head, float* scratch);
};
NORMLAB_KERNEL_TABLE(AttentionKernels, attention_kernels)

/// Plain loops: the specification of the fast kernels.
namespace reference {

/// `weight` is scratch of `keys` elements.
template <class T>
void attention(const AttentionHead<T>& head, T* weight);
template <class T>
void attention_backward(const AttentionHead<T>& head);

}  // namespace reference
}  // namespace normlab
