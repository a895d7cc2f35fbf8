#include <bit>
#include <cmath>
#include <limits>

#include "cpu/simd_sums.h"
#include "ops/norm_kernels.h"
#include "ops/norm_range.h"

namespace normlab::NORMLAB_ISA {
namespace {

/// Asks for a line that the next row will want: while a row's statistics are worked out, the memory
/// would idle otherwise. Fetching past the end does no harm.
void fetch(const float* p) {
  __builtin_prefetch(p);
}

/// Rows that the backward pass takes at once.
constexpr int kBackwardRows = 4;

// --- the row that is normalised ---------------------------------------------------------------

/// Reads x; with Clamp, its extremes are clamped on the way (topk).
template <bool Clamp>
struct Input {
  const float* x = nullptr;
  float high = 0, low = 0;

  Input() = default;
  Input(const NormProblem<float>& p, int64_t row) : x(p.x + row * p.H) {
    if constexpr (Clamp) {
      high = x[p.extremes[2 * row]];
      low = x[p.extremes[2 * row + 1]];
    }
  }
  template <class P>
  vfloat at(int64_t j, P part) const {
    const vfloat v = load(x + j, part);
    if constexpr (Clamp) {
      const vfloat top = broadcast(high), bottom = broadcast(low);
      return v <= bottom ? bottom : v > top ? top : v;
    }
    return v;
  }
};

/// y = (x - mean) * rstd + shift.
struct Standardize {
  vfloat mean, rstd, shift;
  Standardize() = default;
  Standardize(const NormProblem<float>& p, int64_t row)
      : mean(broadcast(p.mean[row])),
        rstd(broadcast(p.rstd[row])),
        shift(broadcast(p.shift[row])) {}
  vfloat operator()(vfloat x) const { return (x - mean) * rstd + shift; }
};

constexpr int64_t kMostClamped = 256;

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
  const bool centred = p.traits->scale == Scale::std;
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

/// Scale and the scale's derivative of some rows; see norm_reference.cpp.
struct Scales {
  double var[kStatRows], sigma[kStatRows], coef[kStatRows];

  Scales(const NormProblem<float>& p, const Moments& m) {
    const double H = static_cast<double>(p.H), eps = p.eps;
    const bool var_eps = p.denominator == Denominator::var_eps;
    const bool centred = p.traits->scale == Scale::std;
    const double n = p.traits->scale == Scale::l2 ? 1 : centred && !var_eps ? H - 1 : H;
    for (int r = 0; r < kStatRows; ++r) var[r] = m.squares[r] / n;
    if (var_eps) {
      for (int r = 0; r < kStatRows; ++r) sigma[r] = std::sqrt(var[r] + eps);
      for (int r = 0; r < kStatRows; ++r) coef[r] = 1 / n;
    } else {
      for (int r = 0; r < kStatRows; ++r) {
        const double root = std::sqrt(var[r]);
        sigma[r] = root + eps;
        coef[r] = root > 0 ? sigma[r] / (n * root) : 0;
      }
    }
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

/// Rows of [row, row + n) that are multiplied by a power of two, as bits: the reference takes them.
uint32_t scaled_rows(const NormProblem<float>& p, int64_t row, int n = 1) {
  uint32_t scaled = 0;
  for (int r = 0; r < n; ++r) scaled |= static_cast<uint32_t>(p.factor[row + r] != 1) << r;
  return scaled;
}

// --- gain and bias ----------------------------------------------------------------------------

/// One value an element.
struct Elementwise {
  const float* p;
  template <class P>
  vfloat at(int64_t j, P part) const {
    return load(p + j, part);
  }
};
/// The same value for a whole segment.
struct Constant {
  vfloat v;
  template <class P>
  vfloat at(int64_t, P) const {
    return v;
  }
};

/// Which form the output takes once absent gain and bias are left out.
Output effective(const NormProblem<float>& p) {
  if (p.traits->output == Output::adaptive || p.traits->output == Output::residual)
    return p.traits->output;
  if (p.gain) return p.bias ? Output::affine : Output::gain;
  return p.bias ? Output::bias : Output::plain;
}

/// Parameter index of a row's first segment.
int64_t first_parameter(const NormProblem<float>& p, int64_t row) {
  return row % p.groups * (p.H / p.segment);
}

// --- forward ----------------------------------------------------------------------------------

/// z[begin..end) of one row. Stream: the row is whole aligned vectors and leaves the caches.
template <Output kOutput, bool Stream, bool Clamp, class Param>
inline void write_span(const NormProblem<float>& p, const Input<Clamp>& x, const Standardize& y_of,
                       float* z, int64_t begin, int64_t end, Param gain, Param bias) {
  const vfloat C = broadcast(static_cast<float>(p.C)),
               Ck = broadcast(static_cast<float>(p.C * p.k));
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
  const vfloat alpha = broadcast(static_cast<float>(p.alpha));
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
  if (p.traits->scale == Scale::tanh) return forward_tanh(p, begin, end);
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

// --- backward ---------------------------------------------------------------------------------

/// What dy is made of: dz itself, gain * dz, or phi * dz.
enum class Factor { one, gain, phi };

template <Factor kFactor>
inline vfloat dy_of(vfloat dz, vfloat y, vfloat gain, vfloat C, vfloat Ck) {
  if constexpr (kFactor == Factor::gain) return dz * gain;
  if constexpr (kFactor == Factor::phi) return dz * (C - Ck * y);
  return dz;
}

/// What the statistics add to dx: mean(dy), and rstd * coef * sum(dy * y); zero where the statistic
/// is detached. The mean is subtracted before the product with rstd: it cancels exactly then.
struct StatTerms {
  vfloat via_mean, via_scale;
  StatTerms(const NormProblem<float>& p, int64_t row, double sum_dy, double sum_dy_y) {
    const NormTraits& t = *p.traits;
    const bool centred = t.scale == Scale::std && t.grad_mean && !p.given_stats;
    const bool scaled = t.grad_scale && !p.given_stats;
    const double rstd = p.rstd[row];
    via_mean = broadcast(static_cast<float>(centred ? sum_dy / static_cast<double>(p.H) : 0));
    via_scale = broadcast(static_cast<float>(scaled ? rstd * sum_dy_y * p.coef[row] : 0));
  }
};

/// dx = rstd * (dy - via_mean) - y * via_scale over [begin, end) of one row.
template <Factor kFactor, bool Stream, bool Clamp, class Param>
inline void write_dx(const NormProblem<float>& p, const Input<Clamp>& x, const Standardize& y_of,
                     const StatTerms& terms, const float* dz, float* dx, int64_t begin, int64_t end,
                     Param gain) {
  const vfloat C = broadcast(static_cast<float>(p.C)),
               Ck = broadcast(static_cast<float>(p.C * p.k));
  each_vector(begin, end, [&](int64_t j, auto part) {
    if constexpr (Stream) {
      fetch(dz + kBackwardRows * p.H + j);
    }
    const vfloat y = y_of(x.at(j, part));
    vfloat w = {};
    if constexpr (kFactor == Factor::gain) w = gain.at(j, part);
    const vfloat dy = dy_of<kFactor>(load(dz + j, part), y, w, C, Ck);
    const vfloat out = (dy - terms.via_mean) * y_of.rstd - y * terms.via_scale;
    if constexpr (Stream)
      stream(dx + j, out);
    else
      store(dx + j, out, part);
  });
}

/// The gradient of a clamped entry belongs to the entry whose value it took.
void route_clamped(const NormProblem<float>& p, int64_t row, float* dx) {
  const float* x = p.x + row * p.H;
  const int32_t top = p.extremes[2 * row], bottom = p.extremes[2 * row + 1];
  const float high = x[top], low = x[bottom];
  float to_top = 0, to_bottom = 0;
  each_vector(0, p.H, [&](int64_t j, auto part) {
    const vfloat v = load(x + j, part);
    for (uint32_t hits = bits((v < low) | (v > high)); hits != 0; hits &= hits - 1) {
      const int64_t i = j + std::countr_zero(hits);
      if (i >= p.H) break;
      const bool below = x[i]<low, above = x[i]> high && x[i] > low;
      if (below) to_bottom += dx[i];
      if (above) to_top += dx[i];
      if (below || above) dx[i] = 0;
    }
  });
  dx[top] += to_top;
  dx[bottom] += to_bottom;
}

/// kRows rows at once, so that each vector of gain, dgain and dbias is touched once for all.
template <Factor kFactor, bool Params, bool Stream, bool Clamp, int kRows>
inline void backward_rows(const NormProblem<float>& p, int64_t row,
                          const NormParamGrads<float>& grads) {
  const vfloat C = broadcast(static_cast<float>(p.C)),
               Ck = broadcast(static_cast<float>(p.C * p.k));
  const float* dz = p.dz + row * p.H;
  Input<Clamp> x[kRows];
  Standardize y_of[kRows];
  for (int r = 0; r < kRows; ++r) {
    x[r] = Input<Clamp>(p, row + r);
    y_of[r] = Standardize(p, row + r);
  }
  double sum_dy[kRows] = {}, sum_dy_y[kRows] = {};
  for (int64_t from = 0; from < p.H; from += kBlock) {
    const int64_t to = p.H - from < kBlock ? p.H : from + kBlock;
    LaneSum a[kRows], b[kRows];
    each_vector(from, to, [&](int64_t j, auto part) {
      vfloat dgain = {}, dbias = {}, w = {};
      if constexpr (kFactor == Factor::gain) w = load(p.gain + j, part);
      for (int r = 0; r < kRows; ++r) {
        if constexpr (Stream) fetch(x[r].x + kRows * p.H + j);
        const vfloat v = load(dz + r * p.H + j, part);
        const vfloat y = y_of[r](x[r].at(j, part));
        if constexpr (Params) {
          dgain += v * y;
          dbias += v;
        }
        const vfloat dy = dy_of<kFactor>(v, y, w, C, Ck);
        a[r].add(dy, part);
        b[r].add(dy * y, part);
      }
      if constexpr (Params) {
        if (grads.gain) store(grads.gain + j, load(grads.gain + j, part) + dgain, part);
        if (grads.bias) store(grads.bias + j, load(grads.bias + j, part) + dbias, part);
      }
    });
    for (int r = 0; r < kRows; ++r) {
      sum_dy[r] += a[r].total();
      sum_dy_y[r] += b[r].total();
    }
  }
  if (!p.dx) return;
  for (int r = 0; r < kRows; ++r) {
    const StatTerms terms(p, row + r, sum_dy[r], sum_dy_y[r]);
    float* dx = p.dx + (row + r) * p.H;
    write_dx<kFactor, Stream>(p, x[r], y_of[r], terms, dz + r * p.H, dx, 0, p.H,
                              Elementwise{p.gain});
    if constexpr (Clamp) route_clamped(p, row + r, dx);
  }
}

template <Factor kFactor, bool Params, bool Stream, bool Clamp>
void backward_chunk(const NormProblem<float>& p, int64_t begin, int64_t end,
                    const NormParamGrads<float>& grads) {
  for (int64_t row = begin; row < end;) {
    if (row + kBackwardRows <= end && !scaled_rows(p, row, kBackwardRows)) {
      backward_rows<kFactor, Params, Stream, Clamp, kBackwardRows>(p, row, grads);
      row += kBackwardRows;
      continue;
    }
    if (scaled_rows(p, row))
      norm_backward_reference(p, row, row + 1, grads);
    else
      backward_rows<kFactor, Params, Stream, Clamp, 1>(p, row, grads);
    ++row;
  }
  if constexpr (Stream) fence();
}

/// One row whose gain is constant over segments (groups of channels, scalenorm).
void backward_segments(const NormProblem<float>& p, int64_t row,
                       const NormParamGrads<float>& grads) {
  const Input<false> x(p, row);
  const Standardize y_of(p, row);
  const float* dz = p.dz + row * p.H;
  const int64_t first = first_parameter(p, row);
  double sum_dy = 0, sum_dy_y = 0;
  for (int64_t at = 0, i = first; at < p.H; at += p.segment, ++i) {
    double total[2] = {};
    sums<2>(at, at + p.segment, total, [&](int64_t j, auto part, LaneSum(&acc)[2]) {
      const vfloat g = load(dz + j, part);
      acc[0].add(g, part);
      acc[1].add(g * y_of(x.at(j, part)), part);
    });
    const double w = p.gain ? p.gain[i] : 1;
    sum_dy += w * total[0];
    sum_dy_y += w * total[1];
    if (grads.gain) grads.gain[i] += static_cast<float>(total[1]);
    if (grads.bias) grads.bias[i] += static_cast<float>(total[0]);
  }
  if (!p.dx) return;
  const StatTerms terms(p, row, sum_dy, sum_dy_y);
  for (int64_t at = 0, i = first; at < p.H; at += p.segment, ++i)
    write_dx<Factor::gain, false>(p, x, y_of, terms, dz, p.dx + row * p.H, at, at + p.segment,
                                  Constant{broadcast(p.gain ? p.gain[i] : 1)});
}

/// kRows rows at once, as in backward_rows.
template <bool Gain, int kRows>
inline void backward_tanh_rows(const NormProblem<float>& p, int64_t row,
                               const NormParamGrads<float>& grads) {
  const vfloat alpha = broadcast(static_cast<float>(p.alpha));
  const float *x = p.x + row * p.H, *dz = p.dz + row * p.H;
  float* dx = p.dx ? p.dx + row * p.H : nullptr;
  double dalpha[1] = {};
  sums<1>(0, p.H, dalpha, [&](int64_t j, auto part, LaneSum(&acc)[1]) {
    vfloat w = {}, dgain = {}, dbias = {};
    if constexpr (Gain) w = load(p.gain + j, part);
    for (int r = 0; r < kRows; ++r) {
      const vfloat v = load(x + r * p.H + j, part), g = load(dz + r * p.H + j, part);
      const Tanh y = vtanh_parts(alpha * v);
      const vfloat through = (Gain ? g * w : g) * y.slope;
      acc[0].add(through * v, part);
      if (dx) store(dx + r * p.H + j, through * alpha, part);
      dgain += g * y.value;
      dbias += g;
    }
    if (grads.gain) store(grads.gain + j, load(grads.gain + j, part) + dgain, part);
    if (grads.bias) store(grads.bias + j, load(grads.bias + j, part) + dbias, part);
  });
  if (grads.alpha) *grads.alpha += dalpha[0];
}

template <bool Gain>
void backward_tanh(const NormProblem<float>& p, int64_t begin, int64_t end,
                   const NormParamGrads<float>& grads) {
  int64_t row = begin;
  for (; row + kBackwardRows <= end; row += kBackwardRows)
    backward_tanh_rows<Gain, kBackwardRows>(p, row, grads);
  for (; row < end; ++row) backward_tanh_rows<Gain, 1>(p, row, grads);
}

template <Factor kFactor, bool Params>
void backward_as(const NormProblem<float>& p, int64_t begin, int64_t end,
                 const NormParamGrads<float>& grads) {
  if (p.clamp > 0) return backward_chunk<kFactor, Params, false, true>(p, begin, end, grads);
  if (p.stream) return backward_chunk<kFactor, Params, true, false>(p, begin, end, grads);
  backward_chunk<kFactor, Params, false, false>(p, begin, end, grads);
}

/// Both statistics detached and nothing else to do: dx = rstd * dz, without reading x.
void backward_scaled(const NormProblem<float>& p, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    if (scaled_rows(p, row)) {
      norm_backward_reference(p, row, row + 1, {});
      continue;
    }
    const vfloat rstd = broadcast(p.rstd[row]);
    const float* dz = p.dz + row * p.H;
    float* dx = p.dx + row * p.H;
    each_vector(0, p.H, [&](int64_t j, auto part) {
      const vfloat out = load(dz + j, part) * rstd;
      if (p.stream)
        stream(dx + j, out);
      else
        store(dx + j, out, part);
    });
  }
  if (p.stream) fence();
}

void backward(const NormProblem<float>& p, int64_t begin, int64_t end,
              const NormParamGrads<float>& grads) {
  if (p.clamp > kMostClamped || (p.clamp > 0 && p.segment > 0))
    return norm_backward_reference(p, begin, end, grads);
  if (p.traits->scale == Scale::tanh)
    return p.gain ? backward_tanh<true>(p, begin, end, grads)
                  : backward_tanh<false>(p, begin, end, grads);
  if (p.segment > 0) {
    for (int64_t row = begin; row < end; ++row)
      if (scaled_rows(p, row))
        norm_backward_reference(p, row, row + 1, grads);
      else
        backward_segments(p, row, grads);
    return;
  }
  const bool params = grads.gain || grads.bias;
  const NormTraits& t = *p.traits;
  if (p.dx && !params && !p.gain && !t.grad_mean && !t.grad_scale && t.output == Output::plain)
    return backward_scaled(p, begin, end);
  if (t.output == Output::adaptive) return backward_as<Factor::phi, false>(p, begin, end, grads);
  if (p.gain)
    return params ? backward_as<Factor::gain, true>(p, begin, end, grads)
                  : backward_as<Factor::gain, false>(p, begin, end, grads);
  return params ? backward_as<Factor::one, true>(p, begin, end, grads)
                : backward_as<Factor::one, false>(p, begin, end, grads);
}

}  // namespace

extern const NormKernels norm_kernels = {forward, backward};

}  // namespace normlab::NORMLAB_ISA
