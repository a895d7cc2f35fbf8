#pragma once

#include <cmath>

#include "ops/norm_problem.h"

// The statistics of one row, written once for the host and the device.

#ifdef __CUDACC__
#define NORMLAB_ON_BOTH __host__ __device__
#else
// Never out of line: one instruction set's copy must not serve another's kernels (cpu/simd.h).
#define NORMLAB_ON_BOTH [[gnu::always_inline]]
#endif

namespace normlab {

/// Range in which a row's statistics are taken as they are. The squares of a row that varies by
/// `least` to `most` are numbers of T, and so is 1 / sigma. Beyond, the row is multiplied by `step`
/// or 1 / step first, which is exact: the numbers of T that are less than `least` or more than
/// `most` come to lie between these two.
/// Deviations below `flat` times the mean are as small as what rounding makes of a row of equal
/// elements: the mean is summed again, around an element of the row.
template <class T>
struct NormRange;
template <>
struct NormRange<float> {
  static constexpr float least = 0x1p-40f, most = 0x1p62f, step = 0x1p90f, flat = 0x1p-21f,
                         greatest = 0x1.fffffep127f;
};
template <>
struct NormRange<double> {
  static constexpr double least = 0x1p-400, most = 0x1p500, step = 0x1p600, flat = 0x1p-50,
                          greatest = 0x1.fffffffffffffp1023;
};

/// The power of two for a row of magnitudes up to `most` and distances up to `spread` from its
/// first element (from 0 if it is not centred). `floor` is what eps adds to sigma: of elements that
/// are all equal it is all of it.
template <class Range>
NORMLAB_ON_BOTH inline double factor_into_range(double most, double spread, double floor) {
  constexpr double kLeast = Range::least, kMost = Range::most, kStep = Range::step;
  const bool vast = floor > kMost * kMost && most > kLeast;
  if (most > kMost || vast) return 1 / kStep;
  const bool tiny = spread > 0 ? spread < kLeast && floor < 1 : floor < kLeast;
  return tiny && most <= kMost * kLeast ? kStep : 1;
}

/// sigma = sqrt(var + eps) or sqrt(var) + eps (paper, section 2.1; the authors' code).
template <class R>
NORMLAB_ON_BOTH inline R sigma_of(R var, R eps, bool var_eps) {
  return var_eps ? std::sqrt(var + eps) : std::sqrt(var) + eps;
}

/// d sigma / dx = coef * y. n: the squares' divisor. A constant row has no direction of growth
/// under std_eps.
template <class R>
NORMLAB_ON_BOTH inline R coef_of(R n, R var, R sigma, bool var_eps) {
  if (var_eps) return 1 / n;
  const R root = std::sqrt(var);
  return root > 0 ? sigma / (n * root) : R(0);
}

/// No more than T holds: what it multiplies is zero then, or the product infinite anyway.
template <class T>
NORMLAB_ON_BOTH inline T bounded(double v) {
  constexpr double kMost = NormRange<T>::greatest;
  return static_cast<T>(v > kMost ? kMost : v);
}

/// One row's statistics, as NormProblem keeps them.
template <class A>
struct RowStats {
  A mean, rstd, shift, coef, factor;
  NORMLAB_ON_BOTH A normalized(A x) const { return (x * factor - mean) * rstd + shift; }
};

template <class T, class A = accumulate_t<T>>
NORMLAB_ON_BOTH inline RowStats<A> kept_stats(const NormProblem<T>& p, int64_t row) {
  return {p.mean[row], p.rstd[row], p.shift[row], p.coef[row], p.factor[row]};
}
template <class T, class A>
NORMLAB_ON_BOTH inline void keep_stats(const NormProblem<T>& p, int64_t row, const RowStats<A>& s) {
  p.mean[row] = s.mean;
  p.rstd[row] = s.rstd;
  p.shift[row] = s.shift;
  p.coef[row] = s.coef;
  p.factor[row] = s.factor;
}

/// The scale's ingredients beside the row.
struct NormDivisor {
  double n, eps;
  bool centred, var_eps;

  NORMLAB_ON_BOTH explicit NormDivisor(const NormPlan& p)
      : n(p.scale_count()),
        eps(p.settings.eps),
        centred(p.traits.centred()),
        var_eps(p.var_eps()) {}

  /// The part of eps in sigma.
  NORMLAB_ON_BOTH double floor() const { return var_eps ? std::sqrt(eps) : eps; }

  /// The power of two that brings a row into NormRange.
  template <class A>
  NORMLAB_ON_BOTH double factor_of(double most, double spread) const {
    if (!(most - most == 0)) return 1;  // NaN or infinite
    return factor_into_range<NormRange<A>>(most, spread, floor());
  }

  /// Statistics of factor * x, from its mean, what rounding took of that, and its squared
  /// deviations; `moments` are those of x.
  template <class A>
  NORMLAB_ON_BOTH RowStats<A> stats_of(double factor, double mean, double lost, double squares,
                                       NormMoments& moments) const {
    const double var = (squares < 0 ? 0.0 : squares) / n;  // NaN stays
    const double sigma = factor == 1 ? sigma_of(var, eps, var_eps)
                         : var_eps   ? std::hypot(std::sqrt(var), floor() * factor)
                                     : std::sqrt(var) + eps * factor;
    moments = {(mean + lost) / factor, var / factor / factor};
    const A rounded = static_cast<A>(mean);
    const double off = (static_cast<double>(rounded) - mean) - lost;
    // Without eps, sigma of equal elements is 0, and so are y and dx.
    return {rounded, sigma == 0 ? A(0) : bounded<A>(1.0 / sigma),
            static_cast<A>(off == 0 ? 0.0 : off / sigma),
            bounded<A>(coef_of(n, var, sigma, var_eps)), static_cast<A>(factor)};
  }

  /// The running statistics as a row's. With a huge mean x and mean are halved first, or their
  /// difference would overflow.
  template <class A>
  NORMLAB_ON_BOTH RowStats<A> given(double mean, double var) const {
    const double sigma = sigma_of(var, eps, var_eps);
    const double factor = std::abs(mean) > static_cast<double>(NormRange<A>::most) ? 0.5 : 1;
    return {static_cast<A>(mean) * static_cast<A>(factor),
            static_cast<A>(sigma == 0 ? 0 : 1 / sigma / factor), 0, 0, static_cast<A>(factor)};
  }
};

/// The statistics' shares of every dx of a row, per rstd: mean(dy), and coef * sum(dy * y); 0 where
/// the statistic is a constant (paper, section 3.1).
template <class R>
struct StatGradients {
  R via_mean, via_scale;

  NORMLAB_ON_BOTH StatGradients(const NormPlan& p, R coef, R sum_dy, R sum_dy_y)
      : via_mean(p.via_mean() ? sum_dy / static_cast<R>(p.H) : R(0)),
        via_scale(p.via_scale() ? sum_dy_y * coef : R(0)) {}
};

/// The derivative of tanh, 1 / cosh(x)^2: 1 - tanh(x)^2 has lost all bits in the tails.
template <class A>
NORMLAB_ON_BOTH inline A tanh_slope(A x) {
  const A e = std::exp(A(-2) * std::abs(x)), d = A(1) + e;
  return A(4) * e / (d * d);
}

}  // namespace normlab

#undef NORMLAB_ON_BOTH
