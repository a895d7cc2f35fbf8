#pragma once

#include <cstdint>
#include <type_traits>

#include "normlab/bfloat16.h"
#include "normlab/norm.h"

namespace normlab {

/// The type that values stored as T are computed in. Parameters and statistics are stored in it.
template <class T>
using accumulate_t = std::conditional_t<std::is_same_v<T, double>, double, float>;

/// A row's share of the running statistics. `var` is the scale's variance.
struct NormMoments {
  double mean, var;
};

/// One normalisation but for its arrays, the same forward and backward: rows of H elements that
/// each share one mean and one scale.
struct NormPlan {
  NormTraits traits;
  NormSettings settings;
  int64_t rows = 0, H = 0;
  /// Element (r, j) has parameter j if segment == 0, else (r % groups) * (H / segment) + j /
  /// segment.
  int64_t groups = 1, segment = 0;
  int64_t outer = 1, channels = 1, places = 1;  ///< x as [outer, channels, places]
  int64_t clamp = 0;                            ///< this many entries on each side are clamped
  bool given_stats = false;      ///< the running statistics are used in place of x's own
  bool updates_running = false;  ///< x's statistics go into the running ones

  constexpr bool batch() const { return traits.group == Group::batch; }
  constexpr bool var_eps() const { return settings.denominator == Denominator::var_eps; }
  /// Given statistics are constants.
  constexpr bool via_mean() const { return traits.mean_has_gradient() && !given_stats; }
  constexpr bool via_scale() const { return traits.scale_has_gradient() && !given_stats; }
  /// The number of gains, and of biases.
  constexpr int64_t parameters() const { return segment == 0 ? H : groups * (H / segment); }
  /// The squares' divisor in the scale.
  constexpr double scale_count() const {
    if (traits.scale == Scale::l2) return 1;
    return static_cast<double>(traits.centred() && !var_eps() ? H - 1 : H);
  }
};

/// One normalisation as its kernels see it, on the CPU or the GPU. On the CPU a row is contiguous;
/// on the GPU that of a batch() is a channel of x [outer, rows, places].
template <class T>
struct NormProblem : NormPlan {
  using A = accumulate_t<T>;
  bool stream = false;  ///< CPU: the result is larger than the caches, so it is written past them

  const T* x = nullptr;
  const T* residual = nullptr;  ///< GPU: null, or the addend of x; the sum goes to `total`
  T* total = nullptr;
  const A* gain = nullptr;   ///< null: 1
  const A* bias = nullptr;   ///< null: 0; forward only
  const A* alpha = nullptr;  ///< null: 0.5

  /// Saved for backward, one a row: y = (x * factor - mean) * rstd + shift. `shift` carries what
  /// rounding the mean lost: it matters where the mean is large. `coef` times sum(dy * y) is the
  /// scale's share of the gradient. `factor` is 1, or the power of two that brings a row of huge or
  /// tiny numbers into NormRange: mean and rstd are those of the product.
  A *mean = nullptr, *rstd = nullptr, *shift = nullptr, *coef = nullptr, *factor = nullptr;
  int32_t* extremes = nullptr;     ///< topk: index of the kk-th largest and of the kk-th smallest
  NormMoments* moments = nullptr;  ///< [rows], null: not wanted
  A *running_mean = nullptr, *running_var = nullptr;  ///< [channels], or null

  T* z = nullptr;                                           ///< forward only
  const T* dz = nullptr;                                    ///< backward only, as all below
  T* dx = nullptr;                                          ///< null: not wanted
  A *dgain = nullptr, *dbias = nullptr, *dalpha = nullptr;  ///< null: not wanted
  A* scratch = nullptr;  ///< GPU: as many as its function asked for

  constexpr A alpha_or_default() const { return alpha ? *alpha : A(0.5); }
};

}  // namespace normlab
