#include "ops/softmax.h"

#include <cmath>

#include "cpu/parallel.h"
#include "cpu/simd_rows.h"

namespace normlab::NORMLAB_ISA {
namespace {

void softmax_row(const float* x, int64_t n, float* z) {
  const float greatest = row_max(x, n);
  const double total = sum_over(n, [&](int64_t i, int64_t count) {
    const vfloat e = vexp(load_first(x + i, count) - greatest);
    store_first(z + i, e, count);
    return e;
  });
  const float scale = static_cast<float>(1.0 / total);
  for_vectors(n, [&](int64_t i, int64_t count) {
    store_first(z + i, load_first(z + i, count) * scale, count);
  });
}

void log_softmax_row(const float* x, int64_t n, float* z) {
  const ExpSum sum = exp_sum(x, n);
  const float log_total = static_cast<float>(std::log(sum.total));
  for_vectors(n, [&](int64_t i, int64_t count) {
    store_first(z + i, (load_first(x + i, count) - sum.greatest) - log_total, count);
  });
}

void softmax_row_backward(const float* z, const float* dz, int64_t n, float* dx) {
  const float total = static_cast<float>(sum_over(n, [&](int64_t i, int64_t count) {
    return load_first(z + i, count) * load_first(dz + i, count);
  }));
  for_vectors(n, [&](int64_t i, int64_t count) {
    store_first(dx + i, load_first(z + i, count) * (load_first(dz + i, count) - total), count);
  });
}

void log_softmax_row_backward(const float* z, const float* dz, int64_t n, float* dx) {
  const float total = static_cast<float>(
      sum_over(n, [&](int64_t i, int64_t count) { return load_first(dz + i, count); }));
  for_vectors(n, [&](int64_t i, int64_t count) {
    const vfloat p = vexp(load_first(z + i, count));
    store_first(dx + i, load_first(dz + i, count) - p * total, count);
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
