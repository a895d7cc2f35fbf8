#pragma once

#include <cstdint>

#include "cuda/failure.h"
#include "normlab/tensor.h"
#include "ops/window_shapes.h"

namespace normlab {
enum class Activation : uint8_t;  // ops.h, whose functions would hide those of <cmath> in kernels
}

namespace normlab::cuda {

/// One convolution, forward or backward.
struct ConvArgs {
  DType dtype;
  ConvShape shape;
  const void *x, *w;
  // Forward: z = act(conv(x, w) + bias).
  const void* bias;  ///< [O] or null
  void* z;
  void* before;  ///< as z, or null: gets what the activation is applied to
  Activation activation;
  // Backward; null gradients are not wanted. x is there for dw, w for dx.
  const void* dz;
  const void* relu_z;  ///< the result of a relu whose derivative dz still lacks, or null
  void *dx, *dw, *db;
  void* partials;  ///< [parts, weights + O] if there are several parts
  int64_t parts;
};

struct ConvFunctions {
  Failure (*forward)(const ConvArgs& args);
  Failure (*backward)(const ConvArgs& args);
  /// Partial sums that backward wants for dw and db.
  int64_t (*parts)(const ConvShape& shape);
};

}  // namespace normlab::cuda
