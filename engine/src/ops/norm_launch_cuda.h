#pragma once

#include "ops/norm_rows_cuda.h"

// How the norm's kernels over rows are launched: shapes of blocks, and which blocks share a row.

namespace normlab::cuda {

/// Elements of a row that a thread has in registers, and threads of a row at most.
struct Limits {
  int elements, threads;
  constexpr int64_t row() const { return int64_t{elements} * threads; }
};

/// The first row that a block has, threadIdx.y's are behind it, and how many rows all have at once.
struct Rows {
  int64_t first, step;
};
template <int kLanes>
__device__ Rows rows_of_block() {
  const unsigned blocks = kLanes == kCluster ? Cluster::size() : 1;
  return {static_cast<int64_t>(blockIdx.x / blocks) * blockDim.y,
          static_cast<int64_t>(gridDim.x / blocks) * blockDim.y};
}

/// A row of `row` elements needs the general kernels.
template <class T>
bool is_general(const NormProblem<T>& a, const Limits& limits, int64_t row) {
  return a.segment != 0 || a.extremes || row > limits.row();
}

/// A grid has 2^31 - 1 blocks at most.
inline constexpr int64_t kMostTeams = INT32_MAX / kMostBlocks;

/// Blocks that share a row that is too long for one: 1 if clusters cannot take it.
template <class T>
unsigned blocks_for_row(const NormProblem<T>& a, const Limits& limits) {
  if (a.H <= limits.row() || a.rows > kMostTeams || !has_clusters()) return 1;
  for (unsigned blocks = 2; blocks <= kMostBlocks; blocks *= 2)
    if (!is_general(a, limits, (a.H + blocks - 1) / blocks)) return blocks;
  return 1;
}

/// run<E, kLanes, kGeneral>() with the least E, but no less than one load, that lets a warp hold
/// a row; else with the most.
template <class T, int kMost, int E = 16 / sizeof(T), class Run>
auto with_shape(int64_t H, bool general, const Run& run) {
  if constexpr (E == 16 / sizeof(T)) {
    if (!general && H <= 8 * E) return run.template operator()<E, 8, false>();
    if (!general && H <= 16 * E) return run.template operator()<E, 16, false>();
  }
  if constexpr (E < kMost) {
    if (!general && H <= 32 * E) return run.template operator()<E, 32, false>();
    return with_shape<T, kMost, E * 2>(H, general, run);
  } else {
    if (general) return run.template operator()<kMost, kBlock, true>();
    if (H <= 32 * kMost) return run.template operator()<kMost, 32, false>();
    return run.template operator()<kMost, kBlock, false>();
  }
}

/// Threads for a row.
template <int E>
unsigned threads_for(int64_t H, int most) {
  const int64_t threads = 32 * int64_t{blocks_for(H, 32 * E)};
  return static_cast<unsigned>(threads < most ? threads : most);
}

/// Rows that a block of `threads` takes, R threads each: fewer where multiprocessors would be idle.
inline unsigned rows_in_block(int64_t rows, unsigned R, unsigned threads) {
  const unsigned most = threads > R ? threads / R : 1;
  const unsigned each = blocks_for(rows, multiprocessors()), whole = R < 32 ? 32 / R : 1;
  return each < most ? (each + whole - 1) / whole * whole : most;
}

/// Shared memory that a block of these kernels can have beside its RowSums.
template <class T>
size_t free_shared_memory() {
  return most_shared_memory() - sizeof(RowSums<accumulate_t<T>>);
}

/// Vectors a thread in shared memory, in whole batches, of a row that is too long for the
/// registers.
template <class T, int V, int K>
int vectors_in_shared(int64_t H, const Limits& limits) {
  if (H <= limits.row()) return 0;
  const size_t batch = sizeof(raw_t<T, V>) * static_cast<size_t>(limits.threads) * K * kLoadBatch;
  const auto room = static_cast<int64_t>(free_shared_memory<T>() / batch),
             wanted =
                 int64_t{blocks_for(H - limits.row(), int64_t{limits.threads} * V * kLoadBatch)};
  return static_cast<int>(wanted < room ? wanted : room) * kLoadBatch;
}

inline constexpr int kWidest = 16;  ///< bytes of a load

/// The longest share of a row that one of its blocks has, however wide its loads are.
template <class T>
int64_t columns_each_of(const NormProblem<T>& a, unsigned blocks) {
  return columns_each(static_cast<int>(a.H), kWidest / sizeof(T), static_cast<int>(blocks));
}

}  // namespace normlab::cuda
