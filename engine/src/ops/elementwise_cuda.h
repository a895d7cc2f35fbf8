#pragma once

#include <cstdint>

#include "core/joined_axes.h"
#include "cuda/failure.h"
#include "normlab/tensor.h"

namespace normlab {

enum class Unary : uint8_t;
enum class Binary;
enum class Comparison;

namespace cuda {

/// An operand: an array on the device, or a number in place of one, which goes with the launch.
struct Source {
  const void* data;  ///< null: the number
  uint64_t number;   ///< its bytes, in the operand's type, and zeros
};

/// Elementwise ops, as elementwise_table.h has them, for the dtypes that its rows have.
struct ElementwiseFunctions {
  Failure (*unary)(Unary op, DType dtype, const void* x, void* z, int64_t n);
  /// `kept` is x or z, as the derivative reads; null if it reads neither.
  Failure (*unary_backward)(Unary op, DType dtype, const void* dz, const void* kept, void* dx,
                            int64_t n);
  /// The axes are those of a and b.
  Failure (*binary)(Binary op, DType dtype, const JoinedAxes& axes, Source a, Source b, void* z);
  /// The gradient of a, or else of b, in dz's shape; the axes are those of dz, a and b.
  Failure (*binary_backward)(Binary op, bool of_a, DType dtype, const JoinedAxes& axes,
                             const void* dz, Source a, Source b, void* dx);
  /// z is bool.
  Failure (*compare)(Comparison op, DType dtype, const JoinedAxes& axes, Source a, Source b,
                     void* z);
  /// z = mask ? a : b for elements of `item` bytes. The axes are those of mask, a and b.
  Failure (*select)(int64_t item, const JoinedAxes& axes, Source mask, Source a, Source b, void* z);
  /// into += from, float32 or float64.
  Failure (*add_in_place)(DType dtype, void* into, const void* from, int64_t n);
};

}  // namespace cuda
}  // namespace normlab
