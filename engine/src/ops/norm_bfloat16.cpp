#include <algorithm>

#include "core/bfloat16.h"
#include "ops/norm_kernels.h"

// Rows of bfloat16 go through the kernels for float32 a few at a time, by way of scratch that stays
// in the cache: the memory moves half the bytes.

namespace normlab {
namespace {

constexpr int64_t kElements = 2048;  ///< of rows that are widened at a time, unless one has more

/// The first of the row's parameters.
int64_t first_parameter(const NormPlan& p, int64_t row) {
  return p.segment > 0 ? row % p.groups * (p.H / p.segment) : 0;
}

/// Rows [begin, begin + rows) of p as a problem of their own, but for x, z, dz and dx.
NormProblem<float> window(const NormProblem<bfloat16>& p, int64_t begin, int64_t rows) {
  NormProblem<float> w{static_cast<const NormPlan&>(p)};
  const auto at = [](auto* pointer, int64_t i) { return pointer ? pointer + i : nullptr; };
  w.rows = rows;
  // norm_window_rows() lets no window cross a whole number of groups.
  w.groups = p.groups - begin % p.groups;
  const int64_t first = first_parameter(p, begin);
  w.gain = at(p.gain, first);
  w.bias = at(p.bias, first);
  w.alpha = p.alpha;
  w.mean = at(p.mean, begin);
  w.rstd = at(p.rstd, begin);
  w.shift = at(p.shift, begin);
  w.coef = at(p.coef, begin);
  w.factor = at(p.factor, begin);
  w.extremes = at(p.extremes, 2 * begin);
  w.moments = at(p.moments, begin);
  return w;
}

NormParamGrads<float> window(const NormProblem<bfloat16>& p, int64_t begin,
                             NormParamGrads<float> grads) {
  const int64_t first = first_parameter(p, begin);
  if (grads.gain) grads.gain += first;
  if (grads.bias) grads.bias += first;
  return grads;
}

void widen(const bfloat16* from, int64_t n, float* to) {
  bfloat16_kernels_for_cpu().widen(from, to, n);
}
void narrow(const float* from, int64_t n, bfloat16* to) {
  bfloat16_kernels_for_cpu().narrow(from, to, n);
}

}  // namespace

int64_t norm_window_rows(const NormPlan& p) {
  const int64_t most = std::max<int64_t>(kElements / p.H, 1);
  if (p.segment == 0) return most < 4 ? most : most / 4 * 4;  // whole fours for backward's kernel
  if (p.groups <= most) return most / p.groups * p.groups;
  int64_t rows = most;
  while (p.groups % rows != 0) --rows;
  return rows;
}

void norm_forward_bfloat16(const NormProblem<bfloat16>& p, int64_t begin, int64_t end,
                           float* scratch) {
  const int64_t step = norm_window_rows(p);
  for (int64_t row = begin; row < end; row += step) {
    const int64_t rows = std::min(step, end - row), n = rows * p.H;
    NormProblem<float> w = window(p, row, rows);
    w.x = scratch;
    w.z = scratch + step * p.H;
    widen(p.x + row * p.H, n, scratch);
    norm_forward_kernel_for_cpu().run(w, 0, rows);
    narrow(w.z, n, p.z + row * p.H);
  }
}

void norm_backward_bfloat16(const NormProblem<bfloat16>& p, int64_t begin, int64_t end,
                            const NormParamGrads<float>& grads, float* scratch) {
  const int64_t step = norm_window_rows(p);
  float *x = scratch, *dz = scratch + step * p.H, *dx = scratch + 2 * step * p.H;
  for (int64_t row = begin; row < end; row += step) {
    const int64_t rows = std::min(step, end - row), n = rows * p.H;
    NormProblem<float> w = window(p, row, rows);
    w.x = x;
    w.dz = dz;
    w.dx = p.dx ? dx : nullptr;
    widen(p.x + row * p.H, n, x);
    widen(p.dz + row * p.H, n, dz);
    norm_backward_kernel_for_cpu().run(w, 0, rows, window(p, row, grads));
    if (p.dx) narrow(dx, n, p.dx + row * p.H);
  }
}

}  // namespace normlab
