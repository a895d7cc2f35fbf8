#include <algorithm>
#include <cmath>
#include <limits>

#include "cpu/parallel.h"
#include "ops/loss.h"

namespace normlab::reference {
namespace {

/// The coefficient of class c in a row.
template <class T>
T coefficient(const LossRows<T>& rows, int64_t r, int64_t c) {
  const T smoothing = static_cast<T>(rows.smoothing);
  const T target =
      rows.classes ? static_cast<T>(rows.classes[r] == c) : rows.probabilities[r * rows.n + c];
  const T weight = rows.weight ? rows.weight[c] : T(1);
  return weight * (target * (1 - smoothing) + smoothing / static_cast<T>(rows.n));
}

}  // namespace

template <class T>
void cross_entropy(const T* logits, const LossRows<T>& rows, T* stats, T* loss) {
  parallel_for(rows.rows, 8 * rows.n, [&](int64_t r) {
    loss[r] = 0;
    if (!rows.counts(r)) return;
    const T* x = logits + r * rows.n;
    T greatest = -std::numeric_limits<T>::infinity(), total = 0, mass = 0, sum = 0;
    for (int64_t i = 0; i < rows.n; ++i) greatest = std::max(greatest, x[i]);
    for (int64_t i = 0; i < rows.n; ++i) total += std::exp(x[i] - greatest);
    for (int64_t i = 0; i < rows.n; ++i) {
      const T q = coefficient(rows, r, i);
      mass += q;
      // An infinite logit of a class that counts nothing must not touch the loss.
      if (q != 0) sum += q * (x[i] - greatest);
    }
    if (rows.classes) mass = static_cast<T>(rows.mass_of(rows.classes[r]));
    T* kept = stats + kLossStats * r;
    kept[0] = greatest;
    kept[1] = 1 / total;
    kept[2] = mass;
    loss[r] = mass * std::log(total) - sum;
  });
}

template <class T>
void cross_entropy_backward(const T* logits, const LossRows<T>& rows, const T* stats,
                            const T* scale, T* dlogits) {
  parallel_for(rows.rows, 8 * rows.n, [&](int64_t r) {
    const T *x = logits + r * rows.n, *kept = stats + kLossStats * r;
    T* dx = dlogits + r * rows.n;
    if (!rows.counts(r)) {
      std::fill_n(dx, rows.n, T(0));
      return;
    }
    for (int64_t i = 0; i < rows.n; ++i) {
      const T p = std::exp(x[i] - kept[0]) * kept[1];
      dx[i] = scale[r] * (p * kept[2] - coefficient(rows, r, i));
    }
  });
}

template <class T>
void cross_entropy_target_gradient(const T* logits, const LossRows<T>& rows, const T* stats,
                                   const T* scale, T* dtargets) {
  parallel_for(rows.rows, 8 * rows.n, [&](int64_t r) {
    const T *x = logits + r * rows.n, *kept = stats + kLossStats * r;
    const T factor = scale[r] * static_cast<T>(1 - rows.smoothing), log_total = -std::log(kept[1]);
    for (int64_t i = 0; i < rows.n; ++i) {
      const T share = factor * static_cast<T>(rows.weight_of(i));
      dtargets[r * rows.n + i] = share == 0 ? T(0) : share * (kept[0] - x[i] + log_total);
    }
  });
}

template void cross_entropy(const float*, const LossRows<float>&, float*, float*);
template void cross_entropy(const double*, const LossRows<double>&, double*, double*);
template void cross_entropy_backward(const float*, const LossRows<float>&, const float*,
                                     const float*, float*);
template void cross_entropy_backward(const double*, const LossRows<double>&, const double*,
                                     const double*, double*);
template void cross_entropy_target_gradient(const float*, const LossRows<float>&, const float*,
                                            const float*, float*);
template void cross_entropy_target_gradient(const double*, const LossRows<double>&, const double*,
                                            const double*, double*);

}  // namespace normlab::reference
