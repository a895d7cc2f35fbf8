#include "ops/matmul.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/bfloat16.h"
#include "core/dispatch.h"
#include "core/onednn.h"
#include "core/tensor_impl.h"
#include "cuda/library.h"
#include "ops/activation.h"
#include "ops/broadcast.h"
#include "ops/elementwise.h"
#include "ops/matmul_cuda.h"

namespace normlab {
namespace {

// --- one batch of products --------------------------------------------------------------------

/// Results cut into jobs: each along its longer side, small ones several to a job.
struct Cut {
  bool by_rows = true;
  int64_t side = 0, length = 0;  ///< of the longer side, of a block of it
  int64_t blocks = 1, matrices = 1;

  int64_t jobs(int64_t batch) const { return (batch + matrices - 1) / matrices * blocks; }
};

/// Multiplications from which on a job is worth its start. Blocks shorter than the least make
/// oneDNN repack the other operand too often; longer than the most leave threads idle.
constexpr double kJobWork = 2 << 20;
constexpr int64_t kLeastRows = 64, kLeastColumns = 128, kMostSide = 256, kMostMatrices = 16;

Cut cut_of(const MatrixProduct& p) {
  Cut cut;
  cut.by_rows = p.M >= p.N;
  cut.side = std::max(p.M, p.N);
  const double line =
      std::max(static_cast<double>(std::min(p.M, p.N)) * static_cast<double>(p.K), 1.0);
  const double worth = std::min(std::ceil(kJobWork / line), static_cast<double>(cut.side));
  const int64_t least =
      std::max(static_cast<int64_t>(worth), cut.by_rows ? kLeastRows : kLeastColumns);
  cut.blocks = std::max<int64_t>(cut.side / std::max(std::min(cut.side / 16, kMostSide), least), 1);
  cut.length = ((cut.side + cut.blocks - 1) / cut.blocks + 15) / 16 * 16;
  cut.blocks = (cut.side + cut.length - 1) / cut.length;
  if (cut.blocks == 1) {
    const double work = line * static_cast<double>(cut.side);
    cut.matrices = std::clamp(static_cast<int64_t>(kJobWork / work), int64_t{1}, kMostMatrices);
  }
  return cut;
}

void multiply_block(float, const MatrixProduct& p, const ResultBlock& block) {
  if (p.bfloat16_operands)
    matmul_bfloat16_onednn(p, block);
  else if (p.by_dots)
    matmul_kernels_for_cpu().dots(p, block);
  else if (is_small(p))  // then a block is a whole matrix
    matmul_kernels_for_cpu().small(p, block.matrix);
  else
    matmul_onednn(p, block);
}
void multiply_block(double, const MatrixProduct& p, const ResultBlock& block) {
  matmul_reference(p, block);
}

/// Bias and activation for one block of the result.
template <class T>
void finish_block(const MatrixProduct& p, const ResultBlock& block) {
  if (!p.bias && !p.before && p.activation == Activation::none) return;
  const int64_t at = block.row * p.N + block.column;
  T* c = p.result<T>(block.matrix) + at;
  T* before = p.before ? static_cast<T*>(p.before) + block.matrix * p.M * p.N + at : nullptr;
  const T* bias = p.bias ? static_cast<const T*>(p.bias) + block.column : nullptr;
  if (block.columns == p.N) return activate_rows(c, bias, before, block.rows, p.N, p.activation);
  for (int64_t i = 0; i < block.rows; ++i)
    activate_rows(c + i * p.N, bias, before ? before + i * p.N : nullptr, 1, block.columns,
                  p.activation);
}

/// Rows that meet the same right side are one taller matrix.
void join_rows(MatrixProduct& p) {
  if (p.batch <= 1 || p.b_step != 0 || p.a_transposed || p.a_step != p.M * p.K) return;
  p.M *= p.batch;
  p.batch = 1;
}

template <class T>
void multiply_on_cpu(const char* op, const MatrixProduct& p) {
  const Cut cut = cut_of(p);
  const int64_t work = cut.length * std::min(p.M, p.N) * p.K * cut.matrices;
  onednn::parallel_for(op, cut.jobs(p.batch), work / 8, [&](int64_t job) {
    const int64_t first = job / cut.blocks * cut.matrices;
    const int64_t begin = job % cut.blocks * cut.length;
    const int64_t n = std::min(cut.length, cut.side - begin);
    for (int64_t i = first; i < std::min(first + cut.matrices, p.batch); ++i) {
      const ResultBlock block =
          cut.by_rows ? ResultBlock{i, begin, n, 0, p.N} : ResultBlock{i, 0, p.M, begin, n};
      if (p.K == 0)
        std::fill_n(p.result<T>(i), p.M * p.N, T(0));
      else
        multiply_block(T(), p, block);
      finish_block<T>(p, block);
    }
  });
}

// --- batches with broadcasting ----------------------------------------------------------------

/// An operand as matrices in memory, read as they are or transposed.
struct StoredMatrices {
  Shape leading;  ///< axes before the last two
  int64_t rows = 0, columns = 0;
  bool transposed = false;

  StoredMatrices turned() const { return {leading, rows, columns, !transposed}; }
  /// The leading axes joined into the rows of one matrix.
  StoredMatrices stacked() const { return {{}, leading.numel() * rows, columns, transposed}; }
  int64_t height() const { return transposed ? columns : rows; }
  int64_t width() const { return transposed ? rows : columns; }
};

/// A run of matrices with constant steps, counted in matrices.
struct Run {
  int64_t length = 1, a_step = 0, b_step = 0;
};

/// The joint leading axes as runs, innermost first; neighbouring axes are one run where the steps
/// of both operands allow it.
std::vector<Run> runs_of(const Shape& leading, const Shape& a, const Shape& b) {
  std::vector<Run> runs(1);
  int64_t a_next = 1, b_next = 1;
  for (int i = 1; i <= leading.rank(); ++i) {
    const int64_t a_length = i <= a.rank() ? a[-i] : 1, b_length = i <= b.rank() ? b[-i] : 1;
    const Run axis = {leading[-i], a_length == 1 ? 0 : a_next, b_length == 1 ? 0 : b_next};
    a_next *= a_length;
    b_next *= b_length;
    Run& inner = runs.back();
    if (axis.length == 1) continue;
    if (inner.length == 1)
      inner = axis;
    else if (axis.a_step == inner.a_step * inner.length &&
             axis.b_step == inner.b_step * inner.length)
      inner.length *= axis.length;
    else
      runs.push_back(axis);
  }
  return runs;
}

void multiply_runs(MatrixProduct p, const std::vector<Run>& runs, int64_t a_size, int64_t b_size,
                   size_t run) {
  if (run == 0) {
    p.batch = runs[0].length;
    p.a_step = runs[0].a_step * a_size;
    p.b_step = runs[0].b_step * b_size;
    multiply("matmul", p);
    return;
  }
  int64_t results = 1;
  for (size_t i = 0; i < run; ++i) results *= runs[i].length;
  const int64_t bytes = size_of(p.dtype);
  for (int64_t i = 0; i < runs[run].length; ++i) {
    MatrixProduct inner = p;
    inner.a = static_cast<const char*>(p.a) + i * runs[run].a_step * a_size * bytes;
    inner.b = static_cast<const char*>(p.b) + i * runs[run].b_step * b_size * bytes;
    inner.c = static_cast<char*>(p.c) + i * results * p.M * p.N * bytes;
    multiply_runs(inner, runs, a_size, b_size, run - 1);
  }
}

/// x with its last two axes swapped.
Tensor turned(const Tensor& x) {
  if (x.rank() == 1) return x;
  const NoGrad no_grad;
  std::vector<int> order(static_cast<size_t>(x.rank()));
  std::iota(order.begin(), order.end(), 0);
  std::swap(order[order.size() - 1], order[order.size() - 2]);
  return transpose(x, order);
}

/// op(a) op(b) over all leading axes: leading + [M, N].
Tensor product(const Tensor& a, const StoredMatrices& left, const Tensor& b,
               const StoredMatrices& right, const Shape& leading) {
  const int64_t rows = left.height() * (right.leading.numel() == 1 ? leading.numel() : 1);
  if (a.device() == Device::cpu && right.transposed && rows >= kRowsToTurn)
    return product(a, left, turned(b), {right.leading, right.columns, right.rows}, leading);
  Shape shape = leading;
  shape.push_back(left.height());
  shape.push_back(right.width());
  Tensor z = Tensor::empty(shape, a.dtype(), a.device());
  if (z.numel() == 0) return z;
  MatrixProduct p = product_of(a, b, z);
  p.a_transposed = left.transposed;
  p.b_transposed = right.transposed;
  p.M = left.height();
  p.N = right.width();
  p.K = left.width();
  const std::vector<Run> runs = runs_of(leading, left.leading, right.leading);
  multiply_runs(p, runs, left.rows * left.columns, right.rows * right.columns, runs.size() - 1);
  return z;
}

/// A gradient over all leading axes, summed over those that the operand was broadcast along.
Tensor reduced(const Tensor& gradient, const StoredMatrices& operand) {
  Shape shape = operand.leading;
  shape.push_back(operand.rows);
  shape.push_back(operand.columns);
  return sum_to(gradient, shape);
}

Tensor left_gradient(const Tensor& dz, const StoredMatrices& g, const StoredMatrices& left,
                     const Tensor& b, const StoredMatrices& right) {
  return reduced(product(dz, g, b, right.turned(), g.leading), left);
}

Tensor right_gradient(const Tensor& dz, const StoredMatrices& g, const Tensor& a,
                      const StoredMatrices& left, const StoredMatrices& right) {
  // One right side for all: a single product sums over the leading axes on its way.
  if (right.leading.numel() == 1 && left.leading == g.leading)
    return product(a, left.stacked().turned(), dz, g.stacked(), {});
  return reduced(product(a, left.turned(), dz, g, g.leading), right);
}

/// A vector is a row on the left, a column on the right.
StoredMatrices matrices_of(const Shape& x, bool left) {
  if (x.rank() == 1) return left ? StoredMatrices{{}, 1, x[0]} : StoredMatrices{{}, x[0], 1};
  return {x.sub(0, x.rank() - 2), x[-2], x[-1]};
}

void check_matmul(const Tensor& a, const Tensor& b) {
  check_same("matmul", a, b);
  check_carries_gradient("matmul", "operands", a);
  check(a.rank() >= 1 && b.rank() >= 1, "matmul", "operands must have at least one axis, got ",
        a.shape(), " and ", b.shape());
  const int64_t rows = b.rank() == 1 ? b.size(0) : b.size(-2);
  check(a.size(-1) == rows, "matmul", "the last axis of a must be as long as ",
        b.rank() == 1 ? "the axis" : "the last but one", " of b, got a ", a.shape(), " and b ",
        b.shape());
}

}  // namespace

MatrixProduct product_of(const Tensor& a, const Tensor& b, const Tensor& c) {
  MatrixProduct p;
  p.dtype = c.dtype();
  p.device = c.device();
  p.a = device_data(a);
  p.b = device_data(b);
  p.c = device_data(c);
  return p;
}

void multiply(const char* op, MatrixProduct p) {
  if (p.batch == 0 || p.M == 0 || p.N == 0) return;
  join_rows(p);
  if (p.device == Device::cuda) {
    p.tf32 = cuda::tf32_allowed();
    return cuda::call(op, cuda::backend().matmul->multiply, p);
  }
  if (multiplies_bfloat16(p.dtype)) return multiply_bfloat16(op, p);
  dispatch_floating(op, p.dtype, [&]<class T>() { multiply_on_cpu<T>(op, p); });
}

void multiply_float32(const char* op, const MatrixProduct& p) {
  multiply_on_cpu<float>(op, p);
}

Tensor matmul(const Tensor& a, const Tensor& b) {
  check_matmul(a, b);
  const StoredMatrices left = matrices_of(a.shape(), true), right = matrices_of(b.shape(), false);
  const Shape leading = broadcast("matmul, leading axes", left.leading, right.leading);
  Shape shape = leading;
  if (a.rank() > 1) shape.push_back(left.rows);
  if (b.rank() > 1) shape.push_back(right.columns);
  Tensor z = view_of(product(a, left, b, right, leading), 0, shape);
  const Saved kept_a = b.requires_grad() ? Saved(a) : Saved();
  const Saved kept_b = a.requires_grad() ? Saved(b) : Saved();
  return record(
      "matmul", std::move(z), {a, b},
      [=, a_shape = a.shape(), b_shape = b.shape()](const Tensor& dz, Needs needs) -> Grads {
        const StoredMatrices g = {leading, left.rows, right.columns};
        Grads grads(2);
        if (needs[0]) grads[0] = left_gradient(dz, g, left, kept_b.get(), right).reshape(a_shape);
        if (needs[1]) grads[1] = right_gradient(dz, g, kept_a.get(), left, right).reshape(b_shape);
        return grads;
      });
}

}  // namespace normlab
