#include <algorithm>
#include <cmath>
#include <limits>

#include "backend/parallel.h"
#include "ops/loss.h"

namespace normlab::reference {

template <class T>
void cross_entropy(const T* logits, LossRows rows, T* stats, T* loss) {
  const T smoothing = static_cast<T>(rows.smoothing);
  parallel_for(rows.rows, 8 * rows.n, [&](int64_t r) {
    const int64_t target = rows.classes[r];
    loss[r] = 0;
    if (target < 0) return;
    const T* x = logits + r * rows.n;
    T greatest = -std::numeric_limits<T>::infinity(), total = 0, sum = 0;
    for (int64_t i = 0; i < rows.n; ++i) greatest = std::max(greatest, x[i]);
    for (int64_t i = 0; i < rows.n; ++i) total += std::exp(x[i] - greatest);
    for (int64_t i = 0; i < rows.n; ++i) sum += x[i] - greatest;
    stats[2 * r] = greatest;
    stats[2 * r + 1] = 1 / total;
    loss[r] = std::log(total) - (1 - smoothing) * (x[target] - greatest);
    // Without smoothing an infinite logit of another class must not touch the loss.
    if (smoothing > 0) loss[r] -= smoothing * (sum / static_cast<T>(rows.n));
  });
}

template <class T>
void cross_entropy_backward(const T* logits, LossRows rows, const T* stats, const T* scale,
                            T* dlogits) {
  const T smoothing = static_cast<T>(rows.smoothing);
  parallel_for(rows.rows, 8 * rows.n, [&](int64_t r) {
    const T* x = logits + r * rows.n;
    T* dx = dlogits + r * rows.n;
    const int64_t target = rows.classes[r];
    if (target < 0) {
      std::fill_n(dx, rows.n, T(0));
      return;
    }
    for (int64_t i = 0; i < rows.n; ++i) {
      const T p = std::exp(x[i] - stats[2 * r]) * stats[2 * r + 1];
      const T q = smoothing / static_cast<T>(rows.n) + (i == target ? 1 - smoothing : 0);
      dx[i] = scale[r] * (p - q);
    }
  });
}

template void cross_entropy(const float*, LossRows, float*, float*);
template void cross_entropy(const double*, LossRows, double*, double*);
template void cross_entropy_backward(const float*, LossRows, const float*, const float*, float*);
template void cross_entropy_backward(const double*, LossRows, const double*, const double*,
                                     double*);

}  // namespace normlab::reference
