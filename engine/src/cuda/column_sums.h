#pragma once

#include "cuda/launch.h"

namespace normlab::cuda {

/// Where column j of sums goes: the first `split` to one array, the others to a second one.
template <class T>
struct ColumnTargets {
  T* first;
  int64_t split;
  T* second;
};

/// Queues the sums of the columns of [rows, width], in an order that the shape alone decides. For
/// up to some hundred rows: one block has a column. Targets that are null are left out.
template <class T>
Failure sum_columns(const T* from, int64_t rows, int64_t width, const ColumnTargets<T>& to);

}  // namespace normlab::cuda
