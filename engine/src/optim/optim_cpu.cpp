#include <cmath>
#include <cstdint>

#include "optim/kernels.h"

namespace normlab::NORMLAB_ISA {
namespace {

void adam(const optim::AdamStep& step, float* __restrict w, const float* __restrict g,
          float* __restrict avg, float* __restrict sq, int64_t n) {
  const optim::AdamStep s = step;
  for (int64_t i = 0; i < n; ++i) {
    const float d = g[i] + s.l2 * w[i];
    const float m = avg[i] + s.rate1 * (d - avg[i]);
    const float v = s.beta2 * sq[i] + s.rate2 * (d * d);
    avg[i] = m;
    sq[i] = v;
    w[i] = s.keep * w[i] - s.size * m / (std::sqrt(v) * s.root + s.eps);
  }
}

void sgd(const optim::SgdStep& step, float* __restrict w, const float* __restrict g,
         float* __restrict velocity, int64_t n) {
  const optim::SgdStep s = step;
  if (!velocity) {
    for (int64_t i = 0; i < n; ++i) w[i] -= s.lr * (g[i] + s.l2 * w[i]);
    return;
  }
  // Nesterov looks one step ahead: g + momentum * velocity.
  const float now = s.nesterov ? 1.0f : 0.0f, ahead = s.nesterov ? s.momentum : 1.0f;
  for (int64_t i = 0; i < n; ++i) {
    const float d = g[i] + s.l2 * w[i];
    const float v = s.momentum * velocity[i] + d;
    velocity[i] = v;
    w[i] -= s.lr * (now * d + ahead * v);
  }
}

double square_sum(const float* x, int64_t n) {
  constexpr int kSums = 16;  // side by side, so that the loop vectorises in a fixed order
  double sums[kSums] = {};
  for (int64_t i = 0; i + kSums <= n; i += kSums)
    for (int k = 0; k < kSums; ++k) {
      const double v = x[i + k];
      sums[k] += v * v;
    }
  double total = 0;
  for (const double sum : sums) total += sum;
  for (int64_t i = n - n % kSums; i < n; ++i) total += static_cast<double>(x[i]) * x[i];
  return total;
}

void scale(float* x, float factor, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] *= factor;
}

}  // namespace

extern const optim::Kernels optim_kernels = {adam, sgd, square_sum, scale};

}  // namespace normlab::NORMLAB_ISA
