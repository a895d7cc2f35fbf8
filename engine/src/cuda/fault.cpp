#include <cstring>

#include "core/tensor_impl.h"
#include "cuda/library.h"

namespace normlab::cuda {
namespace {

/// The same words as on the CPU.
[[noreturn]] void raise(const Fault& f) {
  const char* op = f.check.op;
  const Shape shape(std::span<const int64_t>(f.check.shape, static_cast<size_t>(f.check.rank)));
  const int64_t n = f.check.bound;
  switch (f.kind) {
    case FaultKind::feature:
      fail<RangeError>(op, "features must be in [0, ", n, "), got ", f.value, " at ",
                       position(shape, f.place));
    case FaultKind::row:
      fail<RangeError>(op, "index must be in [0, ", n, "), got ", f.value, " at ",
                       position(shape, f.place));
    case FaultKind::target:
      fail<RangeError>(op, "target classes must be in [0, ", n, "), got ", f.value, " in row ",
                       f.place);
    case FaultKind::offsets_begin:
      fail<ArgumentError>(op, "offsets must begin with 0, got ", f.value);
    case FaultKind::offsets_fall:
      fail<ArgumentError>(op, "offsets must not fall, got ", f.before, " and then ", f.value,
                          " at ", f.place);
    case FaultKind::offsets_end:
      fail<ArgumentError>(op, "offsets must end with the number of rows, ", n, ", got ", f.value);
    default:
      fail<RangeError>(op, "index must be in [", -n, ", ", n, "), got ", f.value, " at ",
                       position(shape, f.place));
  }
}

}  // namespace

ValueCheck value_check(const char* op, const Shape& shape, int64_t bound) {
  ValueCheck check{};
  std::strncpy(check.op, op, sizeof check.op - 1);
  check.bound = bound;
  check.rank = shape.rank();
  std::copy(shape.begin(), shape.end(), check.shape);
  return check;
}

void raise_fault() {
  Fault fault;
  if (backend().take_fault(&fault)) raise(fault);
}

}  // namespace normlab::cuda
