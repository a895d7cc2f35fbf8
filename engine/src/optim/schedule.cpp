#include <algorithm>
#include <cmath>
#include <numbers>

#include "normlab/optim.h"

namespace normlab::optim {
namespace {

void check_rate(const char* schedule, double rate) {
  check<ArgumentError>(rate >= 0 && std::isfinite(rate), schedule,
                       "learning rates must be finite and not negative, got ", rate);
}

void check_steps(const char* schedule, int64_t steps) {
  check<ArgumentError>(steps >= 0, schedule, "numbers of steps must not be negative, got ", steps);
}

/// a / b of step numbers.
double share(int64_t a, int64_t b) {
  return static_cast<double>(a) / static_cast<double>(b);
}

/// Refuses steps before the first.
template <class Rate>
Schedule from_zero(const char* schedule, Rate rate) {
  return [=](int64_t step) {
    check<ArgumentError>(step >= 0, schedule, "step must not be negative, got ", step);
    return rate(step);
  };
}

}  // namespace

Schedule constant(double lr) {
  check_rate("constant", lr);
  return from_zero("constant", [=](int64_t) { return lr; });
}

Schedule linear_warmup(double lr, int64_t warmup) {
  check_rate("linear_warmup", lr);
  check_steps("linear_warmup", warmup);
  return from_zero("linear_warmup",
                   [=](int64_t step) { return step < warmup ? lr * share(step, warmup) : lr; });
}

Schedule inverse_sqrt(double lr, int64_t warmup, double initial) {
  check_rate("inverse_sqrt", lr);
  check_rate("inverse_sqrt", initial);
  check_steps("inverse_sqrt", warmup);
  return from_zero("inverse_sqrt", [=](int64_t step) {
    if (step < warmup) return initial + (lr - initial) * share(step, warmup);
    const int64_t peak = std::max<int64_t>(warmup, 1);
    return lr * std::sqrt(share(peak, std::max(step, peak)));
  });
}

Schedule cosine(double lr, int64_t total, int64_t warmup, double final) {
  check_rate("cosine", lr);
  check_rate("cosine", final);
  check_steps("cosine", total);
  check_steps("cosine", warmup);
  check<ArgumentError>(warmup <= total, "cosine", "the warm-up of ", warmup,
                       " steps must fit into the total of ", total);
  return from_zero("cosine", [=](int64_t step) {
    if (step >= total) return final;
    if (step < warmup) return lr * share(step, warmup);
    const double done = share(step - warmup, total - warmup);
    return final + (lr - final) * 0.5 * (1 + std::cos(std::numbers::pi * done));
  });
}

}  // namespace normlab::optim
