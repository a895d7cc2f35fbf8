#pragma once

#include <cstdint>

// Images under a sliding window, for all backends.
namespace normlab {

/// x [N, C, H, W] * weight [O, C, KH, KW] -> z [N, O, OH, OW].
struct ConvShape {
  int64_t N = 0, C = 0, H = 0, W = 0;
  int64_t O = 0, KH = 0, KW = 0;
  int64_t OH = 0, OW = 0;
  int64_t stride_h = 1, stride_w = 1, padding_h = 0, padding_w = 0;

  int64_t weights() const { return O * C * KH * KW; }
  /// Multiplications for one image.
  int64_t work() const { return OH * OW * weights(); }
};

/// Windows of KH x KW over planes of H x W; those that do not fit are left out.
struct PoolShape {
  int64_t planes = 0;  ///< N * C
  int64_t H = 0, W = 0, KH = 0, KW = 0;
  int64_t stride_h = 0, stride_w = 0;
  int64_t OH = 0, OW = 0;
  const int32_t* origin = nullptr;  ///< [OH, OW]: where each window begins; the CPU's kernels only
};

}  // namespace normlab
