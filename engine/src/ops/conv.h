#pragma once

#include "cpu/isa.h"
#include "normlab/ops.h"
#include "ops/window_shapes.h"

namespace normlab {

/// Gradients to compute: null ones are not wanted.
template <class T>
struct ConvGrads {
  T *dx = nullptr, *dw = nullptr, *db = nullptr;
};

/// sum [n] of parts [count, n], in their order.
void sum_parts(const float* parts, int64_t count, int64_t n, float* sum);

// --- the engine's own kernel: float32, stride 1, no padding, dilation or groups ----------------

/// True if it takes this shape.
bool takes_direct(const ConvShape& s);
/// True if its dw is the faster one, too, and the scratch memory for it stays within bounds.
bool takes_direct_weights(const ConvShape& s);
/// bias may be null. relu: z = max(z, 0), fused.
void conv_forward_direct(const ConvShape& s, const float* x, const float* w, const float* bias,
                         bool relu, float* z);
/// z is the result of a fused relu, or null.
void conv_backward_direct(const ConvShape& s, const float* x, const float* w, const float* z,
                          const float* dz, const ConvGrads<float>& grads);

// --- everything else in float32: oneDNN; float64: plain loops. Both leave db to the caller ------

void conv_forward_onednn(const ConvShape& s, const float* x, const float* w, const float* bias,
                         float* z);
void conv_backward_onednn(const ConvShape& s, const float* x, const float* w, const float* dz,
                          const ConvGrads<float>& grads);
void conv_forward_reference(const ConvShape& s, const double* x, const double* w,
                            const double* bias, double* z);
void conv_backward_reference(const ConvShape& s, const double* x, const double* w, const double* dz,
                             const ConvGrads<double>& grads);

// --- the direct kernel's parts ------------------------------------------------------------------

/// Rows of an image's gradient are padded to a multiple of this many floats.
inline constexpr int kRowPadding = 16;
/// Floats that the kernels may touch behind a buffer, the most of any instruction set.
inline constexpr int kSlack = 64;
/// Channels of an image's gradient are padded to a multiple of this many, the rows of a tile.
inline constexpr int kPaddedChannels = 5;

/// The direct kernel. With S[c][kx][row][ow] the input shifted left by kx and cut to the output's
/// width, row (c, ky, kx) of the im2col matrix is the contiguous run from S[c][kx] + ky * OW:
/// im2col for the price of KW copies instead of KH * KW, and it fits the first cache for small
/// images. Then z[o][p] = bias[o] + sum_k w[o][k] * S[offset[k] + p]; dx is the transposed product
/// followed by a shifted addition, dw a dot product over p. Weights are read in place.
struct DirectPlan {
  int channels, height, width;
  int out_channels, kernel_h, kernel_w;
  int out_w, size;     ///< size = OH * OW
  int columns;         ///< C * KH * KW
  int padded;          ///< size, rounded up to kRowPadding
  int chunk, chunks;   ///< images whose dw is summed in one go
  int64_t shifted;     ///< floats of one image's S
  int64_t gradient;    ///< floats of one image's gradient, rows padded
  const int32_t* run;  ///< [columns]: where column (c, ky, kx) begins in S
  const int32_t* row;  ///< [out_channels]: where a channel begins in a padded gradient
  // dx is added up in (c, kx, ky) order:
  const int32_t* dx_column;  ///< [columns]: the column (c, ky, kx)
  const int32_t* dx_target;  ///< [columns]: where its row is added
};

/// All for one image, but for dw: there for one chunk of images and one input channel.
struct DirectKernels {
  /// Makes S; nothing from `end` on is read.
  void (*shift)(const DirectPlan&, const float* x, const float* end, float* shifted);
  void (*forward)(const DirectPlan&, const float* shifted, const float* w, const float* bias,
                  bool relu, float* z);
  /// g = dz, but 0 where z <= 0 (z null: dz everywhere), padded; db [O] gets its sums.
  void (*mask)(const DirectPlan&, const float* z, const float* dz, float* g, float* db);
  void (*input_gradient)(const DirectPlan&, const float* g, const float* w, float* dx);
  void (*weight_gradient)(const DirectPlan&, int images, int channel, const float* g,
                          const float* shifted, float* dw);
};
NORMLAB_KERNEL_TABLE(DirectKernels, direct_kernels)

}  // namespace normlab
