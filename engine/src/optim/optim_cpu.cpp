#include <cmath>
#include <cstdint>

#include "optim/kernels.h"

namespace normlab::NORMLAB_ISA {
namespace {

template <class T>
void adam(const optim::AdamStep<T>& step, const optim::Parameter<T>& p) {
  const optim::AdamStep<T> s = step;
  T* __restrict w = p.w, * __restrict avg = p.first, * __restrict sq = p.second;
  const T* __restrict g = p.g;
  const int64_t n = p.n;
  for (int64_t i = 0; i < n; ++i) {
    const T d = g[i] + s.l2 * w[i];
    const T m = avg[i] + s.rate1 * (d - avg[i]);
    const T v = s.beta2 * sq[i] + s.rate2 * (d * d);
    avg[i] = m;
    sq[i] = v;
    w[i] = s.keep * w[i] - s.size * m / (std::sqrt(v) * s.root + s.eps);
  }
}

template <class T>
void sgd(const optim::SgdStep<T>& step, const optim::Parameter<T>& p) {
  const optim::SgdStep<T> s = step;
  T* __restrict w = p.w, * __restrict velocity = p.first;
  const T* __restrict g = p.g;
  const int64_t n = p.n;
  if (!velocity) {
    for (int64_t i = 0; i < n; ++i) w[i] -= s.lr * (g[i] + s.l2 * w[i]);
    return;
  }
  // Nesterov looks one step ahead: g + momentum * velocity.
  const T now = s.nesterov ? T(1) : T(0), ahead = s.nesterov ? s.momentum : T(1);
  for (int64_t i = 0; i < n; ++i) {
    const T d = g[i] + s.l2 * w[i];
    const T v = s.momentum * velocity[i] + d;
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

extern const optim::Kernels optim_kernels = {
    {{adam<float>, sgd<float>}, {adam<double>, sgd<double>}}, square_sum, scale};

}  // namespace normlab::NORMLAB_ISA
