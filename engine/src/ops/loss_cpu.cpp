#include <cmath>

#include "backend/parallel.h"
#include "backend/simd_rows.h"
#include "ops/loss.h"

namespace normlab::NORMLAB_ISA {
namespace {

float row_loss(const float* x, int64_t n, int64_t target, double smoothing, float* stats) {
  const ExpSum e = exp_sum(x, n);
  stats[0] = e.greatest;
  stats[1] = static_cast<float>(1.0 / e.total);
  double loss = std::log(e.total) - (1 - smoothing) * (x[target] - e.greatest);
  // Without smoothing an infinite logit of another class must not touch the loss.
  if (smoothing > 0) {
    const double sum = sum_over(
        n, [&](int64_t i, int64_t count) { return load_first(x + i, count) - e.greatest; });
    loss -= smoothing * sum / static_cast<double>(n);
  }
  return static_cast<float>(loss);
}

void forward(const float* logits, LossRows rows, float* stats, float* loss) {
  parallel_for(rows.rows, 8 * rows.n, [&](int64_t r) {
    const int64_t target = rows.classes[r];
    loss[r] = target < 0
                  ? 0
                  : row_loss(logits + r * rows.n, rows.n, target, rows.smoothing, stats + 2 * r);
  });
}

void row_backward(const float* x, int64_t n, int64_t target, float smoothing, const float* stats,
                  float scale, float* dx) {
  const float greatest = stats[0], factor = scale * stats[1];
  const float spread = scale * smoothing / static_cast<float>(n);
  for_vectors(n, [&](int64_t i, int64_t count) {
    const vfloat e = vexp(load_first(x + i, count) - greatest);
    store_first(dx + i, e * factor - spread, count);
  });
  dx[target] -= scale * (1 - smoothing);
}

void backward(const float* logits, LossRows rows, const float* stats, const float* scale,
              float* dlogits) {
  parallel_for(rows.rows, 8 * rows.n, [&](int64_t r) {
    float* dx = dlogits + r * rows.n;
    if (rows.classes[r] >= 0) {
      row_backward(logits + r * rows.n, rows.n, rows.classes[r], static_cast<float>(rows.smoothing),
                   stats + 2 * r, scale[r], dx);
      return;
    }
    for (int64_t i = 0; i < rows.n; ++i) dx[i] = 0;
  });
}

}  // namespace

extern const LossKernels loss_kernels = {forward, backward};

}  // namespace normlab::NORMLAB_ISA
