#pragma once

#include <cstdint>

#include "core/joined_axes.h"
#include "cuda/failure.h"
#include "normlab/tensor.h"

namespace normlab::cuda {

/// Axes in other orders, parts of tensors, other dtypes.
struct ShapeFunctions {
  /// Copies elements of `item` bytes (1, 2, 4 or 8). The axes are those of `from` and `to`, in
  /// which no two elements share a place.
  Failure (*copy)(int64_t item, const void* from, void* to, const JoinedAxes& axes);
  /// Elements of another dtype. What does not fit becomes the nearest that does, NaN becomes 0.
  Failure (*convert)(DType from_dtype, const void* from, DType to_dtype, void* to, int64_t n);
  /// Row rows[i] of `to` is row i of `values`, [n, row_bytes]; the rows differ.
  Failure (*scatter_rows)(const int64_t* rows, const void* values, int64_t n, int64_t row_bytes,
                          void* to);
};

}  // namespace normlab::cuda
