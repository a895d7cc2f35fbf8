#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "ops/norm_kernels.h"
#include "ops/norm_stats.h"

namespace normlab {
namespace {

template <class T>
int64_t parameter(const NormProblem<T>& p, int64_t row, int64_t j) {
  return p.segment == 0 ? j : (row % p.groups) * (p.H / p.segment) + j / p.segment;
}

/// topk: the kk largest become the kk-th largest, then the kk smallest the kk-th smallest.
template <class T>
T clamped(const NormProblem<T>& p, const T* x, int64_t row, int64_t j) {
  if (p.clamp == 0) return x[j];
  const T high = x[p.extremes[2 * row]], low = x[p.extremes[2 * row + 1]];
  return x[j] <= low ? low : x[j] > high ? high : x[j];
}

/// Index of the kk-th in order of `before`, the first of equals first.
template <class Before>
int32_t kth(int64_t H, int64_t kk, const Before& before) {
  std::vector<int32_t> order(static_cast<size_t>(H));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), before);
  return order[static_cast<size_t>(kk - 1)];
}

template <class T>
void find_extremes(const NormProblem<T>& p, const T* x, int32_t* extremes) {
  extremes[0] = kth(p.H, p.clamp, [x](int32_t a, int32_t b) { return x[a] > x[b]; });
  extremes[1] = kth(p.H, p.clamp, [x](int32_t a, int32_t b) { return x[a] < x[b]; });
}

/// The power of two for a row; its first element is `first`, or 0 if it is not centred.
template <class T>
double factor_of(const NormProblem<T>& p, const T* x, int64_t row, double first,
                 const NormDivisor& divisor) {
  double most = 0, spread = 0;
  for (int64_t j = 0; j < p.H; ++j) {
    const double v = clamped(p, x, row, j);
    most = std::max(most, std::abs(v));
    spread = std::max(spread, std::abs(v - first));
  }
  return divisor.factor_of<T>(most, spread);
}

/// Moments of factor * x, around its first element: for a row of equal elements that is the mean,
/// exactly.
struct Moments {
  double factor = 1, mean = 0, lost = 0, squares = 0;  ///< lost: what rounding took from the mean
};

template <class T>
Moments moments_of(const NormProblem<T>& p, const T* x, int64_t row, const NormDivisor& divisor) {
  const bool centred = divisor.centred;
  const double H = static_cast<double>(p.H), first = centred ? clamped(p, x, row, 0) : 0;
  Moments m;
  m.factor = factor_of(p, x, row, first, divisor);
  const auto at = [&](int64_t j) { return static_cast<double>(clamped(p, x, row, j)) * m.factor; };
  if (centred) {
    double sum = 0;
    for (int64_t j = 0; j < p.H; ++j) sum += at(j) - first * m.factor;
    m.mean = first * m.factor + sum / H;
  }
  for (int64_t j = 0; j < p.H; ++j) {
    const double d = at(j) - m.mean;
    m.lost += d;
    m.squares += d * d;
  }
  m.lost = centred ? m.lost / H : 0;
  m.squares -= m.lost * m.lost * H;
  return m;
}

/// Mean, scale and the scale's derivative of one row (paper, section 2.1).
template <class T>
void find_stats(const NormProblem<T>& p, const T* x, int64_t row) {
  const NormDivisor divisor(p);
  const Moments m = moments_of(p, x, row, divisor);
  NormMoments moments;
  keep_stats(p, row, divisor.stats_of<T>(m.factor, m.mean, m.lost, m.squares, moments));
  if (p.moments) p.moments[row] = moments;
}

template <class T>
T normalized(const NormProblem<T>& p, const T* x, int64_t row, int64_t j) {
  if (p.traits.scale == Scale::tanh) return std::tanh(p.alpha_or_default() * x[j]);
  return kept_stats(p, row).normalized(clamped(p, x, row, j));
}

template <class T>
T phi(const NormProblem<T>& p, T y) {
  return static_cast<T>(p.settings.C) * (T(1) - static_cast<T>(p.settings.k) * y);
}

/// The gradient of a clamped entry belongs to the entry whose value it took.
template <class T>
void route_clamped(const NormProblem<T>& p, const T* x, int64_t row, T* dx) {
  const int32_t top = p.extremes[2 * row], bottom = p.extremes[2 * row + 1];
  const T high = x[top], low = x[bottom];
  T to_top = 0, to_bottom = 0;
  for (int64_t j = 0; j < p.H; ++j) {
    const bool below = x[j]<low, above = x[j]> high && x[j] > low;
    if (below) to_bottom += dx[j];
    if (above) to_top += dx[j];
    if (below || above) dx[j] = 0;
  }
  dx[top] += to_top;
  dx[bottom] += to_bottom;
}

template <class T>
void add_parameter_grads(const NormProblem<T>& p, int64_t row, const NormParamGrads<T>& grads) {
  const T *x = p.x + row * p.H, *dz = p.dz + row * p.H;
  for (int64_t j = 0; j < p.H; ++j) {
    const int64_t i = parameter(p, row, j);
    const T y = normalized(p, x, row, j);
    if (grads.gain) grads.gain[i] += dz[j] * y;
    if (grads.bias) grads.bias[i] += dz[j];
    if (grads.alpha)
      *grads.alpha +=
          dz[j] * (p.gain ? p.gain[i] : T(1)) * tanh_slope(p.alpha_or_default() * x[j]) * x[j];
  }
}

/// dx = (dy - [grad_mean] mean(dy) - [grad_scale] y * coef * sum(dy * y)) * rstd * factor
/// A detached statistic is a constant, so its term is absent (paper, section 3.1).
template <class T>
void backward_row(const NormProblem<T>& p, int64_t row) {
  const T *x = p.x + row * p.H, *dz = p.dz + row * p.H;
  T* dx = p.dx + row * p.H;
  double sum_dy = 0, sum_dy_y = 0;
  for (int64_t j = 0; j < p.H; ++j) {
    const T y = normalized(p, x, row, j);
    dx[j] = dz[j];
    if (p.gain) dx[j] *= p.gain[parameter(p, row, j)];
    if (p.traits.output == Output::adaptive) dx[j] *= phi(p, y);
    sum_dy += dx[j];
    sum_dy_y += static_cast<double>(dx[j]) * y;
  }
  const StatGradients<double> stats(p, p.coef[row], sum_dy, sum_dy_y);
  const T via_mean = static_cast<T>(stats.via_mean), via_scale = static_cast<T>(stats.via_scale);
  for (int64_t j = 0; j < p.H; ++j) dx[j] -= via_mean + normalized(p, x, row, j) * via_scale;
  // Before the scale, which may make infinities whose sum is none.
  if (p.clamp > 0) route_clamped(p, x, row, dx);
  for (int64_t j = 0; j < p.H; ++j) dx[j] = p.rstd[row] * dx[j] * p.factor[row];
}

template <class T>
void backward_row_tanh(const NormProblem<T>& p, int64_t row) {
  for (int64_t j = 0; j < p.H; ++j) {
    const int64_t at = row * p.H + j;
    const T gain = p.gain ? p.gain[parameter(p, row, j)] : T(1), alpha = p.alpha_or_default();
    p.dx[at] = p.dz[at] * gain * alpha * tanh_slope(alpha * p.x[at]);
  }
}

}  // namespace

template <class T>
void norm_forward_reference(const NormProblem<T>& p, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const T* x = p.x + row * p.H;
    T* z = p.z + row * p.H;
    if (p.clamp > 0) find_extremes(p, x, p.extremes + 2 * row);
    if (p.traits.scale != Scale::tanh && !p.given_stats) find_stats(p, x, row);
    for (int64_t j = 0; j < p.H; ++j) {
      const T y = normalized(p, x, row, j);
      z[j] = y;
      if (p.gain) z[j] *= p.gain[parameter(p, row, j)];
      if (p.bias) z[j] += p.bias[parameter(p, row, j)];
      if (p.traits.output == Output::adaptive) z[j] = phi(p, y) * y;
      if (p.traits.output == Output::residual) z[j] = x[j] + y;
    }
  }
}

template <class T>
void norm_backward_reference(const NormProblem<T>& p, int64_t begin, int64_t end,
                             const NormParamGrads<T>& grads) {
  for (int64_t row = begin; row < end; ++row) {
    add_parameter_grads(p, row, grads);
    if (!p.dx) continue;
    if (p.traits.scale == Scale::tanh)
      backward_row_tanh(p, row);
    else
      backward_row(p, row);
  }
}

template void norm_forward_reference(const NormProblem<float>&, int64_t, int64_t);
template void norm_forward_reference(const NormProblem<double>&, int64_t, int64_t);
template void norm_backward_reference(const NormProblem<float>&, int64_t, int64_t,
                                      const NormParamGrads<float>&);
template void norm_backward_reference(const NormProblem<double>&, int64_t, int64_t,
                                      const NormParamGrads<double>&);

}  // namespace normlab
