#pragma once

#include "cpu/isa.h"
#include "normlab/ops.h"

namespace normlab {

/// C[i] = op(A[i]) op(B[i]) for i in [0, batch): op(A) [M, K] times op(B) [K, N], row-major; op
/// transposes what is stored the other way round. Of float32 and float64, on the GPU bfloat16, too,
/// whose sums are float32 until bias and activation are done.
struct MatrixProduct {
  DType dtype = DType::float32;
  Device device = Device::cpu;  ///< of all pointers
  const void *a = nullptr, *b = nullptr;
  void* c = nullptr;
  bool a_transposed = false, b_transposed = false;  ///< stored as [K, M], [N, K]
  int64_t M = 0, N = 0, K = 0;
  int64_t batch = 1;
  int64_t a_step = 0, b_step = 0;  ///< elements from one matrix to the next, 0: always the same

  // Applied to C while it is in the cache: + bias [N] or null, then the activation, see
  // activate_rows().
  const void* bias = nullptr;
  void* before = nullptr;  ///< as c, or null: gets the activation's input
  Activation activation = Activation::none;
  bool tf32 =
      false;  ///< on the GPU float32 may be rounded to TF32's 10 bits before it is multiplied

  template <class T>
  const T* left(int64_t matrix) const {
    return static_cast<const T*>(a) + matrix * a_step;
  }
  template <class T>
  const T* right(int64_t matrix) const {
    return static_cast<const T*>(b) + matrix * b_step;
  }
  template <class T>
  T* result(int64_t matrix) const {
    return static_cast<T*>(c) + matrix * M * N;
  }
};

/// C = A B with the tensors' dtype and device; the lengths are left to the caller.
MatrixProduct product_of(const Tensor& a, const Tensor& b, const Tensor& c);

/// The product, on all threads or on the GPU; K = 0 gives zeros. Every sum over K is done by one
/// thread in an order that the shape alone decides.
void multiply(const char* op, MatrixProduct p);

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
inline bool is_small(const MatrixProduct& p) {
  return p.K * ((p.N + 15) / 16 * 16) <= kSmallRight && p.M >= 4 && p.M * p.N * p.K <= 1 << 19;
}
struct MatmulKernels {
  /// One small matrix of the batch.
  void (*small)(const MatrixProduct& p, int64_t matrix);
};
NORMLAB_KERNEL_TABLE(MatmulKernels, matmul_kernels)

/// One block of float32 through oneDNN's sgemm, on this thread.
void matmul_onednn(const MatrixProduct& p, const ResultBlock& block);
/// One block of float64 in plain loops.
void matmul_reference(const MatrixProduct& p, const ResultBlock& block);

}  // namespace normlab
