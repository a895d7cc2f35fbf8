#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "normlab/normlab.h"

namespace normlab::test {

/// The paper's formulas written down once more, in double, from the meaning of a variant's traits:
/// independent of every kernel. Detached parts are taken from `base`, so that central differences
/// of it are the gradients the paper means.
struct Oracle {
  NormTraits variant;
  bool std_eps = false;
  double eps = 1e-5, C = 1.0, k = 0.1;

  using Row = std::vector<double>;

  static double mean_of(const Row& x) {
    double s = 0;
    for (double v : x) s += v;
    return s / static_cast<double>(x.size());
  }
  static double squares(const Row& x, double centre) {
    double s = 0;
    for (double v : x) s += (v - centre) * (v - centre);
    return s;
  }
  double divisor(double square_sum, double n, double unbiased_n) const {
    return std_eps ? std::sqrt(square_sum / unbiased_n) + eps : std::sqrt(square_sum / n + eps);
  }

  static Row clamp(const Row& x) {
    const auto H = static_cast<int>(x.size());
    const int kk = std::max(static_cast<int>(0.005 * H), 1);
    Row falling = x;
    std::sort(falling.begin(), falling.end(), std::greater<>());
    const double high = falling[static_cast<size_t>(kk - 1)];
    const double low = falling[static_cast<size_t>(H - kk)];
    Row z = x;
    for (double& v : z) v = v <= low ? low : v > high ? high : v;
    return z;
  }

  /// y of one group whose members share their statistics.
  Row normalized(Row x, Row base) const {
    if (variant.clamp) {
      x = clamp(x);
      base = clamp(base);
    }
    const auto n = static_cast<double>(x.size());
    const bool rms = variant.scale == Scale::rms, l2 = variant.scale == Scale::l2;
    const bool fixed_mean = !variant.grad_mean, fixed_std = !variant.grad_scale;
    const double own = rms || l2 ? 0.0 : mean_of(x);
    const Row& scaled = fixed_std ? base : x;
    const double centre = rms || l2 ? 0.0 : mean_of(scaled);
    const double unbiased = rms ? n : l2 ? 1.0 : n - 1;
    const double d = divisor(squares(scaled, centre), l2 ? 1.0 : n, unbiased);
    const double mean = fixed_mean && !rms && !l2 ? mean_of(base) : own;
    Row y = x;
    for (double& v : y) v = (v - mean) / d;
    return y;
  }

  /// z before gain and bias.
  Row output(const Row& x, const Row& base) const {
    Row z = normalized(x, base);
    const Row y0 = normalized(base, base);
    for (size_t j = 0; j < z.size(); ++j) {
      if (variant.output == Output::adaptive) z[j] *= C * (1 - k * y0[j]);
      if (variant.output == Output::residual) z[j] += base[j];
    }
    return z;
  }

  /// x and base [rows, H]; gain and bias [H], or [1] for scalenorm, or undefined.
  Tensor rows(const Tensor& x, const Tensor& base, const Tensor& gain, const Tensor& bias,
              double alpha = 0.5) const {
    const std::vector<double> v = x.to_vector(), b = base.to_vector();
    const std::vector<double> w = gain ? gain.to_vector() : Row{};
    const std::vector<double> c = bias ? bias.to_vector() : Row{};
    const auto H = static_cast<size_t>(x.size(-1));
    std::vector<double> z;
    for (size_t r = 0; H > 0 && r < v.size() / H; ++r) {
      const auto at = static_cast<std::ptrdiff_t>(r * H),
                 end = static_cast<std::ptrdiff_t>(r * H + H);
      Row row(v.begin() + at, v.begin() + end), at_base(b.begin() + at, b.begin() + end);
      Row out = row;
      if (variant.scale == Scale::tanh)
        for (double& e : out) e = std::tanh(alpha * e);
      else if (variant.scale != Scale::none)
        out = output(row, at_base);
      for (size_t j = 0; j < H; ++j) {
        if (!w.empty()) out[j] *= w[w.size() == 1 ? 0 : j];
        if (!c.empty()) out[j] += c[j];
      }
      z.insert(z.end(), out.begin(), out.end());
    }
    return Tensor::of(x.shape(), z);
  }

  /// x [N, C, S]; groups = 0: over the batch, channel by channel.
  Tensor channels(const Tensor& x, const Tensor& base, int64_t groups, const Tensor& gain,
                  const Tensor& bias) const {
    const int64_t N = x.size(0), Ch = x.size(1), S = x.size(2);
    const std::vector<double> v = x.to_vector(), v0 = base.to_vector();
    const std::vector<double> w = gain ? gain.to_vector() : Row{},
                              b = bias ? bias.to_vector() : Row{};
    std::vector<double> z(v.size());
    const auto each = [&](int64_t n0, int64_t n1, int64_t c0, int64_t c1) {
      std::vector<size_t> at;
      Row group, group_base;
      for (int64_t n = n0; n < n1; ++n)
        for (int64_t c = c0; c < c1; ++c)
          for (int64_t s = 0; s < S; ++s) {
            at.push_back(static_cast<size_t>((n * Ch + c) * S + s));
            group.push_back(v[at.back()]);
            group_base.push_back(v0[at.back()]);
          }
      const Row y = output(group, group_base);
      for (size_t i = 0; i < at.size(); ++i) {
        const size_t c = at[i] / static_cast<size_t>(S) % static_cast<size_t>(Ch);
        z[at[i]] = (w.empty() ? 1 : w[c]) * y[i] + (b.empty() ? 0 : b[c]);
      }
    };
    if (groups == 0)
      for (int64_t c = 0; c < Ch; ++c) each(0, N, c, c + 1);
    for (int64_t n = 0; n < N && groups > 0; ++n)
      for (int64_t g = 0; g < groups; ++g) each(n, n + 1, g * Ch / groups, (g + 1) * Ch / groups);
    return Tensor::of(x.shape(), z);
  }
};

}  // namespace normlab::test
