#pragma once

#include <cstdint>

#include "cuda/failure.h"
#include "cuda/fault.h"

namespace normlab::cuda {

/// z[k] = x[index[k]], x being n rows of so many bytes.
struct TakeArgs {
  const void* x;
  int64_t n, bytes;
  const void* index;
  DType index_dtype;  ///< int32 or int64
  int64_t count;
  FaultKind kind;  ///< index: negative ones count from the end
  int missing;     ///< byte of what a bad index gives: of floating types NaN, else 0
  void* z;
  int64_t* rows;  ///< [count]: the rows taken, -1 where the index is bad; or null
  ValueCheck check;
};

/// z[k] = the element of x that index[k] picks on one axis, as gather() has it.
struct GatherArgs {
  const void* x;
  int64_t n, step;                   ///< of the axis: its length, elements from one to the next
  int rank;                          ///< of index
  int64_t lengths[Shape::kMaxRank];  ///< of index
  int64_t steps[Shape::kMaxRank];    ///< of x, 0 for the axis
  const void* index;
  DType index_dtype;
  int64_t count;
  int64_t item;  ///< bytes of an element: 1, 2, 4 or 8
  int missing;
  void* z;
  int64_t* elements;  ///< [count]: the elements picked, -1 where the index is bad; or null
  ValueCheck check;
};

/// dx[row] = the sum of dz[k] over all k with at[k] = row, in order of k; 0 for a row without any.
struct ScatterArgs {
  DType dtype;
  const int64_t* at;  ///< [count]; negative: none
  int64_t count;
  int64_t without;  ///< a row that gets nothing; -1: none
  const void* dz;   ///< [count, width]
  int64_t rows, width;
  void* dx;       ///< [rows, width]
  void* scratch;  ///< scatter_scratch() bytes
};

/// Indexing: rows taken and given back.
struct IndexFunctions {
  Failure (*take)(const TakeArgs& args);
  Failure (*gather)(const GatherArgs& args);
  int64_t (*scatter_scratch)(int64_t count, int64_t width);
  Failure (*scatter)(const ScatterArgs& args);
  /// dx[at[k]] += dz[k] for k in [outer, length, inner], where the k of one line along `length`
  /// share no element of dx with another's. For short lines.
  Failure (*scatter_lines)(DType dtype, const int64_t* at, int64_t outer, int64_t length,
                           int64_t inner, const void* dz, void* dx);
};

}  // namespace normlab::cuda
