#pragma once

#include "cpu/isa.h"
#include "normlab/ops.h"

namespace normlab {

/// A rectangle of one product's result.
struct ResultBlock {
  int64_t matrix = 0, row = 0, rows = 0, column = 0, columns = 0;
};

/// C[i] = op(A[i]) op(B[i]) for i in [0, batch): op(A) [M, K] times op(B) [K, N], row-major; op
/// transposes what is stored the other way round. Sums of bfloat16 are float32 until bias and
/// activation are done.
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
  /// On the GPU float32 may be rounded to TF32's 10 bits before it is multiplied.
  bool tf32 = false;
  /// On the CPU by MatmulKernels::dots: b is stored transposed, a is not.
  bool by_dots = false;
  /// On the CPU a and b are bfloat16, though dtype is float32: for matmul_bfloat16_onednn().
  bool bfloat16_operands = false;

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

  /// Elements from one stored row to the next.
  int64_t left_step() const { return a_transposed ? M : K; }
  int64_t right_step() const { return b_transposed ? K : N; }
  /// What a block of the result is made of.
  template <class T>
  const T* left(const ResultBlock& block) const {
    return left<T>(block.matrix) + block.row * (a_transposed ? 1 : K);
  }
  template <class T>
  const T* right(const ResultBlock& block) const {
    return right<T>(block.matrix) + block.column * (b_transposed ? K : 1);
  }
  template <class T>
  T* result(const ResultBlock& block) const {
    return result<T>(block.matrix) + block.row * N + block.column;
  }
};

/// C = A B with the tensors' dtype and device; the lengths are left to the caller.
MatrixProduct product_of(const Tensor& a, const Tensor& b, const Tensor& c);

/// The product, on all threads or on the GPU; K = 0 gives zeros. Every sum over K is done by one
/// thread in an order that the shape alone decides.
void multiply(const char* op, MatrixProduct p);
/// The same on the CPU, of float32 that is rounded to bfloat16 first, or of bfloat16. Rounded
/// values are multiplied as bfloat16 where bfloat16_unit() is faster, elsewhere as float32: the
/// products are exact in both, and the sums float32.
void multiply_bfloat16(const char* op, const MatrixProduct& p);
/// The same on the CPU, of float32 as it is.
void multiply_float32(const char* op, const MatrixProduct& p);

/// From this many rows of C on, turning a transposed right side over first costs less than
/// multiplying by it as it is.
inline constexpr int64_t kRowsToTurn = 64;

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
  /// One block of a few rows by a right side that is stored transposed and not repacked. A row's
  /// result is the same in any company.
  void (*dots)(const MatrixProduct& p, const ResultBlock& block);
};
NORMLAB_KERNEL_TABLE(MatmulKernels, matmul_kernels)

/// One block of float32 through oneDNN's sgemm, on this thread.
void matmul_onednn(const MatrixProduct& p, const ResultBlock& block);
/// One block of float32 sums of bfloat16 products, through oneDNN, on this thread.
void matmul_bfloat16_onednn(const MatrixProduct& p, const ResultBlock& block);
/// One block of float64 in plain loops.
void matmul_reference(const MatrixProduct& p, const ResultBlock& block);

}  // namespace normlab
