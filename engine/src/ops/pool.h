#pragma once

#include "cpu/isa.h"
#include "normlab/ops.h"
#include "ops/window_shapes.h"

namespace normlab {

/// All for one plane. A later element wins only if it is greater or NaN: so the first of equals
/// does, and NaN is passed on.
template <class T>
struct PoolKernels {
  /// winner [OH, OW]: the greatest element's place in the plane.
  void (*max)(const PoolShape&, const T* x, T* z, int32_t* winner);
  void (*max_backward)(const PoolShape&, const T* dz, const int32_t* winner, T* dx);
  void (*mean)(const PoolShape&, const T* x, T* z);
  /// Of planes that may have padding.
  void (*mean_backward)(const PoolShape&, const T* dz, T* dx);
};
NORMLAB_KERNEL_TABLE(PoolKernels<float>, pool_f32)
NORMLAB_KERNEL_TABLE(PoolKernels<double>, pool_f64)

}  // namespace normlab
