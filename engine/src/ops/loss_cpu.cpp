#include <cmath>

#include "cpu/parallel.h"
#include "cpu/simd_rows.h"
#include "ops/loss.h"

namespace normlab::NORMLAB_ISA {
namespace {

using Rows = LossRows<float>;

/// The weights of classes from i on.
vfloat weights(const Rows& rows, int64_t i, int64_t count) {
  return rows.weight ? load(rows.weight + i, count) : broadcast(1.0F);
}

/// Coefficients of classes from i on in a row of probabilities.
vfloat coefficients(const Rows& rows, const float* target, int64_t i, int64_t count) {
  const float smoothing = static_cast<float>(rows.smoothing);
  const float spread = static_cast<float>(rows.smoothing / static_cast<double>(rows.n));
  const vfloat smooth = load(target + i, count) * (1 - smoothing) + spread;
  return weights(rows, i, count) * smooth;
}

/// coefficient * x, but 0 where the coefficient is: an infinite logit of a class that counts
/// nothing must not touch the loss.
vfloat product(vfloat coefficient, vfloat x) {
  return coefficient == 0.0F ? broadcast(0.0F) : coefficient * x;
}

/// The sum of the coefficients in a row and that of them times (x - greatest).
struct Sums {
  double mass, logits;
};

Sums sums_for_class(const float* x, const Rows& rows, int64_t target, float greatest) {
  const double own = (1 - rows.smoothing) * rows.weight_of(target);
  Sums sums{rows.mass_of(target), own == 0 ? 0 : own * (x[target] - greatest)};
  if (rows.smoothing == 0) return sums;
  const double all = sum_over(rows.n, [&](int64_t i, int64_t count) {
    const vfloat less = load(x + i, count) - greatest;
    return rows.weight ? product(weights(rows, i, count), less) : less;
  });
  sums.logits += rows.smoothing * all / static_cast<double>(rows.n);
  return sums;
}

Sums sums_for_probabilities(const float* x, const Rows& rows, const float* target, float greatest) {
  const double mass = sum_over(
      rows.n, [&](int64_t i, int64_t count) { return coefficients(rows, target, i, count); });
  const double logits = sum_over(rows.n, [&](int64_t i, int64_t count) {
    return product(coefficients(rows, target, i, count), load(x + i, count) - greatest);
  });
  return {mass, logits};
}

void forward(const float* logits, const Rows& rows, float* stats, float* loss) {
  parallel_for(rows.rows, 8 * rows.n, [&](int64_t r) {
    loss[r] = 0;
    if (!rows.counts(r)) return;
    const float* x = logits + r * rows.n;
    const ExpSum e = exp_sum(x, rows.n);
    const Sums sums =
        rows.classes ? sums_for_class(x, rows, rows.classes[r], e.greatest)
                     : sums_for_probabilities(x, rows, rows.probabilities + r * rows.n, e.greatest);
    float* kept = stats + kLossStats * r;
    kept[0] = e.greatest;
    kept[1] = static_cast<float>(1.0 / e.total);
    kept[2] = static_cast<float>(sums.mass);
    loss[r] = static_cast<float>(sums.mass * std::log(e.total) - sums.logits);
  });
}

/// dx = scale * (softmax * mass - q) with q = subtracted(i, count) / scale.
template <class Subtracted>
void row_backward(const float* x, int64_t n, const float* kept, float scale, float* dx,
                  const Subtracted& subtracted) {
  const float factor = scale * kept[1] * kept[2];
  each_vector(0, n, [&](int64_t i, int64_t count) {
    const vfloat e = vexp(load(x + i, count) - kept[0]);
    store(dx + i, e * factor - subtracted(i, count), count);
  });
}

void class_backward(const float* x, const Rows& rows, int64_t target, const float* kept,
                    float scale, float* dx) {
  const float smoothing = static_cast<float>(rows.smoothing);
  const float spread = scale * smoothing / static_cast<float>(rows.n);
  row_backward(x, rows.n, kept, scale, dx,
               [&](int64_t i, int64_t count) { return spread * weights(rows, i, count); });
  dx[target] -= scale * (1 - smoothing) * static_cast<float>(rows.weight_of(target));
}

void backward(const float* logits, const Rows& rows, const float* stats, const float* scale,
              float* dlogits) {
  parallel_for(rows.rows, 8 * rows.n, [&](int64_t r) {
    const float *x = logits + r * rows.n, *kept = stats + kLossStats * r;
    float* dx = dlogits + r * rows.n;
    if (!rows.counts(r)) {
      for (int64_t i = 0; i < rows.n; ++i) dx[i] = 0;
    } else if (rows.classes) {
      class_backward(x, rows, rows.classes[r], kept, scale[r], dx);
    } else {
      const float* target = rows.probabilities + r * rows.n;
      row_backward(x, rows.n, kept, scale[r], dx, [&](int64_t i, int64_t count) {
        return scale[r] * coefficients(rows, target, i, count);
      });
    }
  });
}

void target_gradient(const float* logits, const Rows& rows, const float* stats, const float* scale,
                     float* dtargets) {
  parallel_for(rows.rows, 8 * rows.n, [&](int64_t r) {
    const float *x = logits + r * rows.n, *kept = stats + kLossStats * r;
    const float factor = scale[r] * static_cast<float>(1 - rows.smoothing);
    const float log_total = -std::log(kept[1]);
    each_vector(0, rows.n, [&](int64_t i, int64_t count) {
      // Not greatest + log_total first: that would round off what is small beside the greatest.
      const vfloat less = kept[0] - load(x + i, count);
      store(dtargets + r * rows.n + i, product(factor * weights(rows, i, count), less + log_total),
            count);
    });
  });
}

}  // namespace

extern const LossKernels loss_kernels = {forward, backward, target_gradient};

}  // namespace normlab::NORMLAB_ISA
