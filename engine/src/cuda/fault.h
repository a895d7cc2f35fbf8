#pragma once

#include <cstdint>

#include "normlab/tensor.h"

namespace normlab::cuda {

// Indices and offsets on the GPU are checked by the kernels that use them: reading them back first
// would stall the stream. What does not fit is not followed; the device keeps the first such value
// (of the first op, at the lowest place), which becomes an error at the next call that waits.

enum class FaultKind : int32_t {
  index,          ///< not in [-bound, bound)
  feature,        ///< not in [0, bound)
  row,            ///< the same, of an index that does not count from the end
  target,         ///< the same, told by its row
  offsets_begin,  ///< not 0
  offsets_fall,   ///< less than the one before
  offsets_end,    ///< not `bound`
  no_keys,        ///< a sentence has `before` queries and no keys
  too_few_keys,   ///< a sentence has fewer keys than its `before` queries
};

/// What an op says about the values that its kernel is to check.
struct ValueCheck {
  char op[24];
  char name[16];  ///< of the tensor of the values, if they are offsets
  int64_t bound;
  int32_t rank;  ///< of the tensor of the values, by which places are told
  int64_t shape[Shape::kMaxRank];
};

inline constexpr int64_t kNoTicket = INT64_MAX;

/// A value that did not fit.
struct Fault {
  int32_t lock;  ///< the kernels'
  FaultKind kind;
  int64_t ticket;  ///< rises from op to op; kNoTicket: all is well
  int64_t place, value, before;
  ValueCheck check;
};

}  // namespace normlab::cuda
