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
      fail<ArgumentError>(op, f.check.name, " must begin with 0, got ", f.value);
    case FaultKind::offsets_fall:
      fail<ArgumentError>(op, f.check.name, " must not fall, got ", f.before, " and then ", f.value,
                          " at ", f.place);
    case FaultKind::offsets_end:
      fail<ArgumentError>(op, f.check.name, " must end with the number of rows, ", n, ", got ",
                          f.value);
    case FaultKind::no_keys:
    case FaultKind::too_few_keys:
      fail<ArgumentError>(op, too_few_keys(f.place, f.before, f.value));
    default:
      fail<RangeError>(op, "index must be in [", -n, ", ", n, "), got ", f.value, " at ",
                       position(shape, f.place));
  }
}

}  // namespace

std::string too_few_keys(int64_t sentence, int64_t queries, int64_t keys) {
  const std::string there =
      "sentence " + std::to_string(sentence) + " has " + std::to_string(queries) + " queries and ";
  if (keys == 0) return "queries need a key in their sentence, " + there + "no key";
  return "causal needs as many keys as queries in a sentence, " + there + std::to_string(keys) +
         " keys";
}

ValueCheck value_check(const char* op, const Shape& shape, int64_t bound, const char* name) {
  ValueCheck check{};
  std::strncpy(check.op, op, sizeof check.op - 1);
  std::strncpy(check.name, name, sizeof check.name - 1);
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
