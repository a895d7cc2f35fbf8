#pragma once

#include "normlab/io.h"

namespace normlab {

/// Copies the values of `given` into the tensors of `own`: all of them or, on an error, none.
/// ValueError listing missing and unexpected names; ShapeError, DtypeError naming the tensor.
void copy_state(const char* op, const TensorMap& own, const TensorMap& given);

}  // namespace normlab
