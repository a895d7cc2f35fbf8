#pragma once

#include <algorithm>
#include <cstdint>

// Images under a sliding window, for all backends.
namespace normlab {

/// x [N, C, H, W] * weight [O, C / groups, KH, KW] -> z [N, O, OH, OW].
struct ConvShape {
  int64_t N = 0, C = 0, H = 0, W = 0;
  int64_t O = 0, KH = 0, KW = 0;
  int64_t OH = 0, OW = 0;
  int64_t stride_h = 1, stride_w = 1;
  int64_t padding_h = 0, padding_w = 0;  ///< before x; behind it lies what the last window needs
  int64_t dilation_h = 1, dilation_w = 1;
  int64_t groups = 1;

  /// Channels of one group.
  int64_t group_C() const { return C / groups; }
  int64_t group_O() const { return O / groups; }
  int64_t weights() const { return O * group_C() * KH * KW; }
  /// Places that a kernel covers.
  int64_t span_h() const { return (KH - 1) * dilation_h + 1; }
  int64_t span_w() const { return (KW - 1) * dilation_w + 1; }
  /// Multiplications for one image.
  int64_t work() const { return OH * OW * weights(); }
};

/// Windows of KH x KW over planes of H x W; those that do not fit are left out.
struct PoolShape {
  int64_t planes = 0;  ///< N * C
  int64_t H = 0, W = 0, KH = 0, KW = 0;
  int64_t stride_h = 0, stride_w = 0;
  int64_t padding_h = 0, padding_w = 0;  ///< on each side; the CPU's forward kernels know none
  int64_t OH = 0, OW = 0;
  int64_t divisor = 1;  ///< of a mean; 0: the number of a window's elements that are not padding
  const int32_t* origin = nullptr;  ///< [OH, OW]: where each window begins; the CPU's kernels only

  bool padded() const { return padding_h > 0 || padding_w > 0; }
};

/// The places [begin, end) of `results` at which one element of a window lies in the input: place *
/// stride + offset in [0, n). Always inlined: one copy would be of one instruction set.
struct Inside {
  int64_t begin, end;
};
[[gnu::always_inline]] inline Inside inside(int64_t results, int64_t stride, int64_t offset,
                                            int64_t n) {
  const int64_t begin = offset >= 0 ? 0 : (-offset + stride - 1) / stride;
  const int64_t end = n - 1 - offset < 0 ? 0 : (n - 1 - offset) / stride + 1;
  return {std::min(begin, results), std::max(std::min(end, results), std::min(begin, results))};
}

}  // namespace normlab
