#include <cmath>

#include "backend/simd_rows.h"
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
  vdouble low{}, high{};
  for_vectors(n, [&](int64_t i, int64_t count) {
    const vfloat v = load_first(x + i, count);
    vfloat_half half[2];
    std::memcpy(half, &v, sizeof v);
    const vdouble a = __builtin_convertvector(half[0], vdouble);
    const vdouble b = __builtin_convertvector(half[1], vdouble);
    low += a * a;
    high += b * b;
  });
  const vdouble both = low + high;
  double sum = 0;
  for (int lane = 0; lane < kLanes / 2; ++lane) sum += both[lane];
  return sum;
}

void scale(float* x, float factor, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] *= factor;
}

}  // namespace

extern const optim::Kernels optim_kernels = {adam, sgd, square_sum, scale};

}  // namespace normlab::NORMLAB_ISA
