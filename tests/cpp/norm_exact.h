#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "normlab/normlab.h"

namespace normlab::test {

/// One row of a variant, forward and backward, in long double: no float32 or float64 leaves its
/// range. From the meaning of the variant's traits, independent of every kernel.
struct ExactRow {
  using Row = std::vector<long double>;

  NormTraits variant;
  bool std_eps = false;
  long double eps = 1e-5L, C = 1, k = 0.1L;
  double topk_share = 0.005;

  Row y = {}, z = {}, dx = {}, dgain = {};
  long double sigma = 0;
  long double dx_size = 0;  ///< max |dy| / sigma: what dx's rounding is measured by

  void run(const Row& given, const Row& dz, const Row& gain, const Row& bias) {
    const bool l2 = variant.scale == Scale::l2, centred = variant.scale == Scale::std;
    const size_t H = given.size();
    const auto n = static_cast<long double>(H);
    const Row x = variant.clamp ? clamped(given) : given;
    long double mean = 0, squares = 0;
    if (centred) {
      for (const long double v : x) mean += v - x[0];
      mean = x[0] + mean / n;
    }
    for (const long double v : x) squares += (v - mean) * (v - mean);
    const long double count = l2 ? 1 : std_eps && centred ? n - 1 : n;
    const long double root = std::sqrt(squares / count);
    sigma = std_eps ? root + eps : std::sqrt(squares / count + eps);
    const long double coef = !std_eps ? 1 / count : root > 0 ? sigma / (count * root) : 0;
    y.assign(H, 0);
    z.assign(H, 0);
    dx.assign(H, 0);
    dgain.assign(H, 0);
    Row dy(H);
    long double sum = 0, sum_y = 0, most = 0;
    for (size_t j = 0; j < H; ++j) {
      const long double w = gain.empty() ? 1 : gain[gain.size() == 1 ? 0 : j];
      y[j] = sigma > 0 ? (x[j] - mean) / sigma : 0;
      const long double phi = variant.output == Output::adaptive ? C * (1 - k * y[j]) : w;
      z[j] = phi * y[j] + (bias.empty() ? 0 : bias[j]);
      if (variant.output == Output::residual) z[j] += given[j];
      dy[j] = dz[j] * phi;
      dgain[j] = dz[j] * y[j];
      sum += dy[j];
      sum_y += dy[j] * y[j];
      most = std::max(most, std::abs(dy[j]));
    }
    const bool by_mean = centred && variant.grad_mean, by_scale = variant.grad_scale;
    for (size_t j = 0; j < H && sigma > 0; ++j)
      dx[j] = (dy[j] - (by_mean ? sum / n : 0) - (by_scale ? y[j] * coef * sum_y : 0)) / sigma;
    dx_size = sigma > 0 ? most / sigma : 0;
    if (variant.clamp) route(given, x);
  }

 private:
  /// Places of the kk-th greatest and of the kk-th smallest, the first of equals first.
  std::pair<size_t, size_t> extremes(const Row& x) const {
    const auto share = static_cast<size_t>(topk_share * static_cast<double>(x.size()));
    const size_t kk = std::max<size_t>(share, 1);
    std::vector<size_t> order(x.size());
    const auto kth = [&](const auto& before) {
      std::iota(order.begin(), order.end(), size_t{0});
      std::stable_sort(order.begin(), order.end(), before);
      return order[kk - 1];
    };
    return {kth([&](size_t a, size_t b) { return x[a] > x[b]; }),
            kth([&](size_t a, size_t b) { return x[a] < x[b]; })};
  }
  Row clamped(const Row& x) const {
    const auto [top, bottom] = extremes(x);
    const long double high = x[top], low = x[bottom];
    Row z = x;
    for (long double& v : z) v = v <= low ? low : v > high ? high : v;
    return z;
  }
  void route(const Row& given, const Row& x) {
    const auto [top, bottom] = extremes(given);
    long double to_top = 0, to_bottom = 0;
    for (size_t j = 0; j < x.size(); ++j) {
      if (given[j] == x[j]) continue;
      (given[j] > x[j] ? to_top : to_bottom) += dx[j];
      dx[j] = 0;
    }
    dx[top] += to_top;
    dx[bottom] += to_bottom;
  }
};

/// Row r of [.., H] numbers.
template <class T = long double>
std::vector<T> row_of(const std::vector<double>& all, int64_t r, int64_t H) {
  return {all.begin() + r * H, all.begin() + r * H + H};
}
inline ExactRow::Row all_of(const Tensor& t) {
  return t.defined() ? row_of(t.to_vector(), 0, t.numel()) : ExactRow::Row();
}

/// Whether every got[j] is want[j] but for `allowed` and a few of the dtype's least steps; where
/// want lies beyond the dtype's numbers, infinity is right.
inline bool all_close(const std::vector<double>& got, const ExactRow::Row& want,
                      long double allowed, DType dtype) {
  const bool wide = dtype == DType::float64;
  const long double most = wide ? 0x1.fffffffffffffp1023L : 0x1.fffffep127L,
                    least = wide                       ? 0x1p-1074L
                            : dtype == DType::bfloat16 ? 0x1p-133L
                                                       : 0x1p-149L;
  for (size_t j = 0; j < want.size(); ++j) {
    if (std::abs(want[j]) + allowed > most && (std::isinf(got[j]) || std::abs(got[j]) > most / 2))
      continue;
    if (!(std::abs(got[j] - want[j]) <= allowed + 4 * least)) return false;
  }
  return got.size() == want.size();
}

inline long double greatest(const ExactRow::Row& x) {
  long double most = 0;
  for (const long double v : x) most = std::max(most, std::abs(v));
  return most;
}

}  // namespace normlab::test
