#pragma once

#include <cstdint>

#include "cpu/isa.h"

namespace normlab {

/// One head of one sentence. Queries are rows of `depth` elements from qkv on, 3 * size apart; keys
/// lie `size` and values 2 * size further in the same row. dqkv has the same layout, z and dz
/// are rows size apart.
template <class T>
struct AttentionHead {
  int64_t length = 0, depth = 0, size = 0;
  T scale = 1;
  const T* qkv = nullptr;
  T* z = nullptr;
  T* log_sum = nullptr;  ///< [length]: log of the sum of exp(scale * q k) over the keys

  // Backward only.
  const T* dz = nullptr;
  T* dqkv = nullptr;

  /// Weights and the gradients of scores are rounded to bfloat16 before they are multiplied.
  bool bfloat16_products = false;
};

/// Queries that are worked on at a time: their scores against all keys stay in the cache.
inline constexpr int64_t kQueries = 40;

/// Rows of scratch that whole vectors of any instruction set can be read from.
constexpr int64_t padded_to_vectors(int64_t n) {
  return (n + 15) / 16 * 16;
}
/// Floats of scratch, 64-byte aligned, that one head needs.
constexpr int64_t attention_scratch(int64_t length, int64_t depth) {
  const int64_t rows = length * padded_to_vectors(depth);     // q, k, v, dz if depth is odd
  const int64_t columns = depth * padded_to_vectors(length);  // k and v transposed
  return 4 * rows + 2 * columns + 2 * kQueries * padded_to_vectors(length);
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

/// `weight` is scratch of `length` elements.
template <class T>
void attention(const AttentionHead<T>& head, T* weight);
template <class T>
void attention_backward(const AttentionHead<T>& head);

}  // namespace reference
}  // namespace normlab
