#include "ops/softmax.h"

#include <cmath>

#include "cpu/parallel.h"
#include "cpu/simd_rows.h"

namespace normlab::NORMLAB_ISA {
namespace {

void softmax_row(const float* x, int64_t n, float* z) {
  const float greatest = row_max(x, n);
  const double total = sum_over(n, [&](int64_t i, int64_t count) {
    const vfloat e = vexp(load(x + i, count) - greatest);
    store(z + i, e, count);
    return e;
  });
  const float scale = static_cast<float>(1.0 / total);
  each_vector(0, n,
              [&](int64_t i, int64_t count) { store(z + i, load(z + i, count) * scale, count); });
}

void log_softmax_row(const float* x, int64_t n, float* z) {
  const ExpSum sum = exp_sum(x, n);
  const float log_total = static_cast<float>(std::log(sum.total));
  each_vector(0, n, [&](int64_t i, int64_t count) {
    store(z + i, (load(x + i, count) - sum.greatest) - log_total, count);
  });
}

void softmax_row_backward(const float* z, const float* dz, int64_t n, float* dx) {
  const float total = static_cast<float>(sum_over(
      n, [&](int64_t i, int64_t count) { return load(z + i, count) * load(dz + i, count); }));
  each_vector(0, n, [&](int64_t i, int64_t count) {
    store(dx + i, load(z + i, count) * (load(dz + i, count) - total), count);
  });
}

void log_softmax_row_backward(const float* z, const float* dz, int64_t n, float* dx) {
  const float total = static_cast<float>(
      sum_over(n, [&](int64_t i, int64_t count) { return load(dz + i, count); }));
  each_vector(0, n, [&](int64_t i, int64_t count) {
    const vfloat p = vexp(load(z + i, count));
    store(dx + i, load(dz + i, count) - p * total, count);
  });
}

void forward(const float* x, int64_t rows, int64_t n, bool log, float* z) {
  const auto row = log ? log_softmax_row : softmax_row;
  parallel_for(rows, 8 * n, [&](int64_t r) { row(x + r * n, n, z + r * n); });
}

void backward(const float* z, const float* dz, int64_t rows, int64_t n, bool log, float* dx) {
  const auto row = log ? log_softmax_row_backward : softmax_row_backward;
  parallel_for(rows, 4 * n, [&](int64_t r) { row(z + r * n, dz + r * n, n, dx + r * n); });
}

}  // namespace

extern const SoftmaxKernels softmax_kernels = {forward, backward};

}  // namespace normlab::NORMLAB_ISA
