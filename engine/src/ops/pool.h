#pragma once

#include "backend/isa.h"
#include "normlab/ops.h"

namespace normlab {

/// Windows of KH x KW over planes of H x W; those that do not fit are left out.
struct PoolShape {
  int64_t planes = 0;  ///< N * C
  int64_t H = 0, W = 0, KH = 0, KW = 0;
  int64_t stride_h = 0, stride_w = 0;
  int64_t OH = 0, OW = 0;
  const int32_t* origin = nullptr;  ///< [OH, OW]: where each window begins in its plane
};

/// All for one plane. A later element wins only if it is greater or NaN: so the first of equals
/// does, and NaN is passed on.
template <class T>
struct PoolKernels {
  /// winner [OH, OW]: the greatest element's place in the plane.
  void (*max)(const PoolShape&, const T* x, T* z, int32_t* winner);
  void (*max_backward)(const PoolShape&, const T* dz, const int32_t* winner, T* dx);
  void (*mean)(const PoolShape&, const T* x, T* z);
  void (*mean_backward)(const PoolShape&, const T* dz, T* dx);
};
NORMLAB_KERNEL_TABLE(PoolKernels<float>, pool_f32)
NORMLAB_KERNEL_TABLE(PoolKernels<double>, pool_f64)

/// The greatest of 2 x 2 with stride 2; winner: its place in the window, 0 to 3 in row order.
struct PairPoolKernels {
  void (*max)(const PoolShape&, const float* x, float* z, uint8_t* winner);
  void (*max_backward)(const PoolShape&, const float* dz, const uint8_t* winner, float* dx);
};
NORMLAB_KERNEL_TABLE(PairPoolKernels, pair_pool)

}  // namespace normlab
