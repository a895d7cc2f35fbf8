#include "ops/axis.h"

namespace normlab {

int checked_axis(const char* op, const Shape& shape, int axis) {
  const int rank = shape.rank();
  check<RangeError>(-rank <= axis && axis < rank, op, "axis must be in [", -rank, ", ", rank,
                    ") for shape ", shape, ", got ", axis);
  return axis < 0 ? axis + rank : axis;
}

}  // namespace normlab
