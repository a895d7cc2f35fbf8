#pragma once

#include "normlab/io.h"

namespace normlab {

/// Copies the values of `given` into the tensors of `own`: all of them or, on an error, none.
/// ArgumentError listing missing and unexpected names, or naming a tensor that is not finite,
/// unless `allow_nonfinite`; ShapeError, DtypeError naming the tensor.
void copy_state(const char* op, const TensorMap& own, const TensorMap& given,
                bool allow_nonfinite = true);

/// Detached copies.
TensorMap copied(const TensorMap& state);

/// ArgumentError naming the tensor and the first place that holds an infinity or NaN. One pass.
void check_finite(const char* op, const std::string& name, const Tensor& x);
void check_finite(const char* op, const TensorMap& state);

}  // namespace normlab
