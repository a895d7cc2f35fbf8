#pragma once

#include <cstdint>

#include "cuda/failure.h"
#include "ops/axis.h"

namespace normlab::cuda {

/// Reductions of x [outer, n, inner] over n, results [outer, inner]. Where n is split among blocks,
/// it depends on the shape alone, and the parts are added in a fixed order.
struct ReduceFunctions {
  /// Bytes of scratch that sum() and max() want; 0 if none.
  int64_t (*scratch)(AxisView view);
  /// z = scale * sum of x, or of (x - center)^2 if there is a center [outer, inner]; integers and
  /// bool give int64, and take neither center nor scale. Sums of bfloat16 may be float32.
  Failure (*sum)(DType dtype, const void* x, const void* center, AxisView view, double scale,
                 void* scratch, DType z_dtype, void* z);
  /// Greatest elements and the first places that hold them; a NaN is greater than all. n >= 1.
  Failure (*max)(DType dtype, const void* x, AxisView view, void* scratch, void* z, int64_t* place);
  /// dx = scale * dz * (x - mean); float32 or float64, as below.
  Failure (*var_backward)(DType dtype, const void* x, const void* mean, const void* dz,
                          AxisView view, double scale, void* dx);
  /// dx is dz at the places of the greatest elements, else 0.
  Failure (*max_backward)(DType dtype, const void* dz, const int64_t* place, AxisView view,
                          void* dx);
};

/// Within the library: to [width] = the sums of the columns of [rows, width], in order, for up to
/// some thousand rows.
template <class T>
Failure sum_columns(const T* from, int64_t rows, int64_t width, T* to);

}  // namespace normlab::cuda
