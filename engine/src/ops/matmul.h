#pragma once

#include "cpu/isa.h"
#include "normlab/ops.h"

namespace normlab {

/// C[i] = op(A[i]) op(B[i]) for i in [0, batch): op(A) [M, K] times op(B) [K, N], row-major; op
/// transposes what is stored the other way round.
template <class T>
struct MatrixProduct {
  const T* a = nullptr;
  const T* b = nullptr;
  T* c = nullptr;
  bool a_transposed = false, b_transposed = false;  ///< stored as [K, M], [N, K]
  int64_t M = 0, N = 0, K = 0;
  int64_t batch = 1;
  int64_t a_step = 0, b_step = 0;  ///< elements from one matrix to the next, 0: always the same
  Device device = Device::cpu;     ///< where all pointers lead to

  // Applied to C while it is in the cache: + bias [N] or null, then the activation, see
  // add_bias_and_activate().
  const T* bias = nullptr;
  T* before = nullptr;
  Activation activation = Activation::none;
};

/// The product, on all threads or on the GPU; K = 0 gives zeros. Every sum over K is done by one
/// thread in an order that the shape alone decides.
void multiply(const char* op, MatrixProduct<float> p);
void multiply(const char* op, MatrixProduct<double> p);
void multiply(const char* op, MatrixProduct<bfloat16> p);  ///< on the GPU only

/// From this many rows of C on, turning a transposed right side over first costs less than
/// multiplying by it as it is.
inline constexpr int64_t kRowsToTurn = 64;

/// A rectangle of one product's result.
struct ResultBlock {
  int64_t matrix = 0, row = 0, rows = 0, column = 0, columns = 0;
};
/// A right side of this many floats, its rows padded to whole vectors, stays in the first cache.
inline constexpr int64_t kSmallRight = 8192;
/// Products that are small enough for the engine's own kernel: what oneDNN does before and after
/// its loop would cost as much as the loop.
template <class T>
bool is_small(const MatrixProduct<T>& p) {
  return p.K * ((p.N + 15) / 16 * 16) <= kSmallRight && p.M >= 4 && p.M * p.N * p.K <= 1 << 19;
}
struct MatmulKernels {
  /// One small matrix of the batch.
  void (*small)(const MatrixProduct<float>& p, int64_t matrix);
};
NORMLAB_KERNEL_TABLE(MatmulKernels, matmul_kernels)

/// One block through oneDNN's sgemm, on this thread.
void matmul_onednn(const MatrixProduct<float>& p, const ResultBlock& block);
/// The same in plain loops.
void matmul_reference(const MatrixProduct<double>& p, const ResultBlock& block);

}  // namespace normlab
