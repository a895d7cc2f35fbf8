#include <algorithm>
#include <cstring>

#include "cpu/simd_tile.h"
#include "ops/matmul.h"
#include "ops/shape.h"

namespace normlab::NORMLAB_ISA {

extern const ShapeKernels shape_kernels;  // those for the same instruction set

namespace {

void pack_turned(const float* b, int64_t K, int64_t N, float* packed, int64_t step) {
  int64_t j = 0;
  for (; j + kLanes <= N; j += kLanes) {
    int64_t k = 0;
    for (; k + kLanes <= K; k += kLanes)
      shape_kernels.transpose(b + j * K + k, K, packed + k * step + j, step);
    for (; k < K; ++k)
      for (int64_t i = j; i < j + kLanes; ++i) packed[k * step + i] = b[i * K + k];
  }
  for (; j < N; ++j)
    for (int64_t k = 0; k < K; ++k) packed[k * step + j] = b[j * K + k];
}

RightSide right_side(const MatrixProduct& p, const float* b, float* packed) {
  if (!p.b_transposed && p.N % kLanes == 0) return {b, p.N};
  const int64_t step = (p.N + kLanes - 1) / kLanes * kLanes;
  if (p.b_transposed) {
    pack_turned(b, p.K, p.N, packed, step);
  } else {
    for (int64_t k = 0; k < p.K; ++k) std::copy_n(b + k * p.N, p.N, packed + k * step);
  }
  return {packed, step};
}

void small(const MatrixProduct& p, int64_t matrix) {
  alignas(64) float packed[kSmallRight];
  const float* a = p.left<float>(matrix);
  const LeftSide left = p.a_transposed ? LeftSide{a, 1, p.M} : LeftSide{a, p.K, 1};
  tiled_product(left, right_side(p, p.right<float>(matrix), packed), p.M, p.N, p.K,
                p.result<float>(matrix), p.N);
}

}  // namespace

extern const MatmulKernels matmul_kernels = {small};

}  // namespace normlab::NORMLAB_ISA
