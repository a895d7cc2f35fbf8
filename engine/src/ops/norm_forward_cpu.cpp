#include <bit>
#include <limits>

#include "ops/norm_rows_simd.h"
#include "ops/norm_stats.h"

namespace normlab::NORMLAB_ISA {
namespace {

// --- topk -------------------------------------------------------------------------------------

/// The kk greatest values seen so far, with their places, in falling order.
struct Greatest {
  int64_t kk;
  float value[kMostClamped];
  int32_t index[kMostClamped];

  explicit Greatest(int64_t kk) : kk(kk) {
    for (int64_t i = 0; i < kk; ++i) {
      value[i] = -std::numeric_limits<float>::infinity();
      index[i] = 0;
    }
  }
  float last() const { return value[kk - 1]; }
  void offer(float v, int64_t at) {
    if (!(v > last())) return;
    int64_t i = kk - 1;
    for (; i > 0 && value[i - 1] < v; --i) {
      value[i] = value[i - 1];
      index[i] = index[i - 1];
    }
    value[i] = v;
    index[i] = static_cast<int32_t>(at);
  }
};

/// A lower bound of the kk-th greatest of sign * x: the kk-th greatest of the maxima of interleaved
/// parts of the row. It lets the search look at few elements closely.
float bound_of_greatest(const float* x, int64_t H, int64_t kk, float sign) {
  constexpr int kBanks = 4;
  if (kk > kBanks * kLanes || H < kBanks * kLanes) return -std::numeric_limits<float>::infinity();
  vfloat most[kBanks];
  for (int b = 0; b < kBanks; ++b) most[b] = load(x + b * kLanes) * sign;
  for (int64_t j = kBanks * kLanes; j + kBanks * kLanes <= H; j += kBanks * kLanes)
    for (int b = 0; b < kBanks; ++b) {
      const vfloat v = load(x + j + b * kLanes) * sign;
      most[b] = v > most[b] ? v : most[b];
    }
  Greatest maxima(kk);
  for (int i = 0; i < kBanks * kLanes; ++i) maxima.offer(most[i / kLanes][i % kLanes], 0);
  return maxima.last();
}

/// Index of the kk-th greatest element of sign * x, the first of equals first.
int32_t kth_greatest(const float* x, int64_t H, int64_t kk, float sign) {
  const float bound = bound_of_greatest(x, H, kk, sign);
  Greatest found(kk);
  each_vector(0, H, [&](int64_t j, auto part) {
    const vfloat v = load(x + j, part) * sign;
    const float least = bound > found.last() ? bound : found.last();
    for (uint32_t hits = bits(v >= least); hits != 0; hits &= hits - 1) {
      const int lane = std::countr_zero(hits);
      if (j + lane < H) found.offer(v[lane], j + lane);
    }
  });
  return found.index[kk - 1];
}

// --- statistics -------------------------------------------------------------------------------

/// Rows whose statistics are finished at once: their divisions and roots share vectors.
constexpr int kStatRows = 8;
/// Rows longer than this are finished one by one: they would leave the first cache before they are
/// written.
constexpr int64_t kShortRow = 512;

/// Sums over some rows, of squares around the mean proper.
struct Moments {
  float mean[kStatRows] = {};
  double lost[kStatRows] = {}, squares[kStatRows] = {};  ///< lost: what rounding takes of the mean
};

template <bool Clamp>
[[gnu::always_inline]] inline void add_moments(const NormProblem<float>& p, int64_t row, int r,
                                               Moments& m) {
  const Input<Clamp> x(p, row + r);
  const double H = static_cast<double>(p.H);
  const bool centred = p.traits.centred();
  float mean = 0;
  if (centred) {
    double total[1] = {};
    sums<1>(0, p.H, total,
            [&](int64_t j, auto part, LaneSum(&acc)[1]) { acc[0].add(x.at(j, part), part); });
    mean = static_cast<float>(total[0] / H);
  }
  // The second pass also finds what rounding the mean lost.
  double total[2] = {};
  sums<2>(0, p.H, total, [&, m = broadcast(mean)](int64_t j, auto part, LaneSum(&acc)[2]) {
    if (p.stream) fetch(x.x + p.H + j);
    const vfloat d = x.at(j, part) - m;
    acc[0].add(d, part);
    acc[1].add(d * d, part);
  });
  const double lost = centred ? total[0] / H : 0;
  const double squares = total[1] - lost * lost * H;
  m.mean[r] = mean;
  m.lost[r] = lost;
  m.squares[r] = squares < 0 ? 0 : squares;
}

/// Scale and the scale's derivative of some rows; see norm_stats.h.
struct Scales {
  double var[kStatRows], sigma[kStatRows], coef[kStatRows];

  Scales(const NormProblem<float>& p, const Moments& m) {
    const double n = p.scale_count(), eps = p.settings.eps;
    const auto fill = [&](auto var_eps) {
      for (int r = 0; r < kStatRows; ++r) var[r] = m.squares[r] / n;
      for (int r = 0; r < kStatRows; ++r) sigma[r] = sigma_of(var[r], eps, var_eps);
      for (int r = 0; r < kStatRows; ++r) coef[r] = coef_of(n, var[r], sigma[r], var_eps);
    };
    if (p.var_eps())
      fill(std::true_type());
    else
      fill(std::false_type());
  }
};

/// Rows that sums in float32 do not give the statistics of, as bits; NaN is one.
uint32_t out_of_range(const Moments& m, const Scales& s) {
  using Range = NormRange<float>;
  constexpr double kFlat = Range::flat;
  uint32_t out = 0;
  for (int r = 0; r < kStatRows; ++r) {
    const double flat = kFlat * m.mean[r];
    const bool good = (s.sigma[r] >= Range::least) & (s.sigma[r] <= Range::most) &
                      ((m.lost[r] == 0) | (s.var[r] > flat * flat));
    out |= static_cast<uint32_t>(!good) << r;
  }
  return out;
}

/// Statistics of n rows in two passes. The rows returned as bits need the reference's care.
template <bool Clamp>
uint32_t find_stats(const NormProblem<float>& p, int64_t row, int n) {
  Moments m;
  for (int r = 0; r < n; ++r) add_moments<Clamp>(p, row, r, m);
  const Scales s(p, m);
  for (int r = 0; r < n; ++r) {
    p.mean[row + r] = m.mean[r];
    p.rstd[row + r] = static_cast<float>(1 / s.sigma[r]);
    p.shift[row + r] = static_cast<float>(-m.lost[r] / s.sigma[r]);
    p.coef[row + r] = static_cast<float>(s.coef[r]);
    p.factor[row + r] = 1;
  }
  if (p.moments)
    for (int r = 0; r < n; ++r) p.moments[row + r] = {m.mean[r] + m.lost[r], s.var[r]};
  return out_of_range(m, s) & ((1U << n) - 1);
}

// --- rows -------------------------------------------------------------------------------------

/// Which form the output takes once absent gain and bias are left out.
Output effective(const NormProblem<float>& p) {
  if (p.traits.output == Output::adaptive || p.traits.output == Output::residual)
    return p.traits.output;
  if (p.gain) return p.bias ? Output::affine : Output::gain;
  return p.bias ? Output::bias : Output::plain;
}

/// z[begin..end) of one row. Stream: the row is whole aligned vectors and leaves the caches.
template <Output kOutput, bool Stream, bool Clamp, class Param>
inline void write_span(const NormProblem<float>& p, const Input<Clamp>& x, const Standardize& y_of,
                       float* z, int64_t begin, int64_t end, Param gain, Param bias) {
  const vfloat C = broadcast(static_cast<float>(p.settings.C)),
               Ck = broadcast(static_cast<float>(p.settings.C * p.settings.k));
  each_vector(begin, end, [&](int64_t j, auto part) {
    const vfloat v = x.at(j, part);
    vfloat out = y_of(v);
    if constexpr (kOutput == Output::adaptive) out *= C - Ck * out;
    if constexpr (kOutput == Output::residual) out += v;
    if constexpr (kOutput == Output::gain || kOutput == Output::affine) out *= gain.at(j, part);
    if constexpr (kOutput == Output::bias || kOutput == Output::affine) out += bias.at(j, part);
    if constexpr (Stream)
      stream(z + j, out);
    else
      store(z + j, out, part);
  });
}

template <Output kOutput, bool Stream, bool Clamp>
void forward_row(const NormProblem<float>& p, int64_t row) {
  const Input<Clamp> x(p, row);
  const Standardize y_of(p, row);
  float* z = p.z + row * p.H;
  if (p.segment == 0)
    return write_span<kOutput, Stream>(p, x, y_of, z, 0, p.H, Elementwise{p.gain},
                                       Elementwise{p.bias});
  int64_t i = first_parameter(p, row);
  for (int64_t at = 0; at < p.H; at += p.segment, ++i)
    write_span<kOutput, false>(p, x, y_of, z, at, at + p.segment,
                               Constant{broadcast(p.gain ? p.gain[i] : 1)},
                               Constant{broadcast(p.bias ? p.bias[i] : 0)});
}

template <Output kOutput, bool Stream, bool Clamp>
void forward_rows(const NormProblem<float>& p, int64_t begin, int64_t end) {
  const int64_t step = p.H > kShortRow ? 1 : kStatRows;
  for (int64_t row = begin; row < end; row += step) {
    const int n = static_cast<int>(end - row < step ? end - row : step);
    const uint32_t careful = p.given_stats ? scaled_rows(p, row, n) : find_stats<Clamp>(p, row, n);
    for (int r = 0; r < n; ++r)
      if (careful >> r & 1)
        norm_forward_reference(p, row + r, row + r + 1);
      else
        forward_row<kOutput, Stream, Clamp>(p, row + r);
  }
  if constexpr (Stream) fence();
}

template <Output kOutput>
void forward_as(const NormProblem<float>& p, int64_t begin, int64_t end) {
  if (p.clamp > 0) return forward_rows<kOutput, false, true>(p, begin, end);
  if (p.stream) return forward_rows<kOutput, true, false>(p, begin, end);
  forward_rows<kOutput, false, false>(p, begin, end);
}

void forward_tanh(const NormProblem<float>& p, int64_t begin, int64_t end) {
  const vfloat alpha = broadcast(p.alpha_or_default());
  for (int64_t row = begin; row < end; ++row) {
    const int64_t at = row * p.H;
    each_vector(0, p.H, [&](int64_t j, auto part) {
      vfloat z = vtanh(alpha * load(p.x + at + j, part));
      if (p.gain) z *= load(p.gain + j, part);
      if (p.bias) z += load(p.bias + j, part);
      if (p.stream)
        stream(p.z + at + j, z);
      else
        store(p.z + at + j, z, part);
    });
  }
  if (p.stream) fence();
}

void forward(const NormProblem<float>& p, int64_t begin, int64_t end) {
  if (p.clamp > kMostClamped) return norm_forward_reference(p, begin, end);
  if (p.traits.scale == Scale::tanh) return forward_tanh(p, begin, end);
  for (int64_t row = begin; p.clamp > 0 && row < end; ++row) {
    const float* x = p.x + row * p.H;
    p.extremes[2 * row] = kth_greatest(x, p.H, p.clamp, 1);
    p.extremes[2 * row + 1] = kth_greatest(x, p.H, p.clamp, -1);
  }
  switch (effective(p)) {
    case Output::plain:
      return forward_as<Output::plain>(p, begin, end);
    case Output::affine:
      return forward_as<Output::affine>(p, begin, end);
    case Output::gain:
      return forward_as<Output::gain>(p, begin, end);
    case Output::bias:
      return forward_as<Output::bias>(p, begin, end);
    case Output::adaptive:
      return forward_as<Output::adaptive>(p, begin, end);
    case Output::residual:
      return forward_as<Output::residual>(p, begin, end);
  }
}

}  // namespace

extern const NormForwardKernel norm_forward_kernel = {forward};

}  // namespace normlab::NORMLAB_ISA
