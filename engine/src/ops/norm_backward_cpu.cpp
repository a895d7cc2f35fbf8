#include <bit>

#include "ops/norm_rows_simd.h"
#include "ops/norm_stats.h"

namespace normlab::NORMLAB_ISA {
namespace {

/// Rows that are worked on at once.
constexpr int kBackwardRows = 4;

/// The factor in dy: dz itself, gain * dz, or phi * dz.
enum class Factor { one, gain, phi };

template <Factor kFactor>
inline vfloat dy_of(vfloat dz, vfloat y, vfloat gain, vfloat C, vfloat Ck) {
  if constexpr (kFactor == Factor::gain) return dz * gain;
  if constexpr (kFactor == Factor::phi) return dz * (C - Ck * y);
  return dz;
}

/// The statistics' shares of dx: mean(dy), and rstd * coef * sum(dy * y). The mean is subtracted
/// before the product with rstd: it cancels exactly then.
struct StatTerms {
  vfloat via_mean, via_scale;
  StatTerms(const NormProblem<float>& p, int64_t row, double sum_dy, double sum_dy_y) {
    const double rstd = p.rstd[row];
    const StatGradients<double> terms(p, p.coef[row], sum_dy, rstd * sum_dy_y);
    via_mean = broadcast(static_cast<float>(terms.via_mean));
    via_scale = broadcast(static_cast<float>(terms.via_scale));
  }
};

/// dx = rstd * (dy - via_mean) - y * via_scale over [begin, end) of one row.
template <Factor kFactor, bool Stream, bool Clamp, class Param>
inline void write_dx(const NormProblem<float>& p, const Input<Clamp>& x, const Standardize& y_of,
                     const StatTerms& terms, const float* dz, float* dx, int64_t begin, int64_t end,
                     Param gain) {
  const vfloat C = broadcast(static_cast<float>(p.settings.C)),
               Ck = broadcast(static_cast<float>(p.settings.C * p.settings.k));
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

/// Sums of dy and dy * y of kRows rows at once, so that each vector of gain, dgain and dbias is
/// touched once for all.
template <Factor kFactor, bool Params, bool Stream, bool Clamp, int kRows>
inline void sum_rows(const NormProblem<float>& p, const Input<Clamp> (&x)[kRows],
                     const Standardize (&y_of)[kRows], const float* dz,
                     const NormParamGrads<float>& grads, double (&sum_dy)[kRows],
                     double (&sum_dy_y)[kRows]) {
  const vfloat C = broadcast(static_cast<float>(p.settings.C)),
               Ck = broadcast(static_cast<float>(p.settings.C * p.settings.k));
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
}

template <Factor kFactor, bool Params, bool Stream, bool Clamp, int kRows>
inline void backward_rows(const NormProblem<float>& p, int64_t row,
                          const NormParamGrads<float>& grads) {
  const float* dz = p.dz + row * p.H;
  Input<Clamp> x[kRows];
  Standardize y_of[kRows];
  for (int r = 0; r < kRows; ++r) {
    x[r] = Input<Clamp>(p, row + r);
    y_of[r] = Standardize(p, row + r);
  }
  double sum_dy[kRows] = {}, sum_dy_y[kRows] = {};
  sum_rows<kFactor, Params, Stream>(p, x, y_of, dz, grads, sum_dy, sum_dy_y);
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
  const vfloat alpha = broadcast(p.alpha_or_default());
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
  if (p.traits.scale == Scale::tanh)
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
  const NormTraits& t = p.traits;
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

extern const NormBackwardKernel norm_backward_kernel = {backward};

}  // namespace normlab::NORMLAB_ISA
