#pragma once

// A row as the norm's kernels read it, and its parameters, for norm_*_cpu.cpp only.

#include "cpu/simd_sums.h"
#include "ops/norm_kernels.h"

namespace normlab::NORMLAB_ISA {
namespace {  // NOLINT

/// Asks for a line that the next row will want: while a row's statistics are worked out, the memory
/// would idle otherwise. Fetching past the end does no harm.
[[maybe_unused]] inline void fetch(const float* p) {
  __builtin_prefetch(p);
}

/// More clamped entries than this are the reference's.
[[maybe_unused]] inline constexpr int64_t kMostClamped = 256;

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

/// Rows of [row, row + n) that are multiplied by a power of two, as bits: the reference takes them.
[[maybe_unused]] inline uint32_t scaled_rows(const NormProblem<float>& p, int64_t row, int n = 1) {
  uint32_t scaled = 0;
  for (int r = 0; r < n; ++r) scaled |= static_cast<uint32_t>(p.factor[row + r] != 1) << r;
  return scaled;
}

/// One value an element.
struct Elementwise {
  const float* p;
  template <class P>
  vfloat at(int64_t j, P part) const {
    return load(p + j, part);
  }
};
/// One value for a whole segment.
struct Constant {
  vfloat v;
  template <class P>
  vfloat at(int64_t, P) const {
    return v;
  }
};

/// Parameter index of a row's first segment.
[[maybe_unused]] inline int64_t first_parameter(const NormProblem<float>& p, int64_t row) {
  return row % p.groups * (p.H / p.segment);
}

}  // namespace
}  // namespace normlab::NORMLAB_ISA
