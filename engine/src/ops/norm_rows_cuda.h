#pragma once

#include "cuda/cluster.h"
#include "cuda/row_reduce.h"
#include "ops/norm_cuda.h"
#include "ops/norm_math_cuda.h"

namespace normlab::cuda {

// --- who has a row ----------------------------------------------------------------------------

// `kLanes` neighbouring threads of a warp, if that is above 0; else
inline constexpr int kBlock = 0;     ///< all warps of a block
inline constexpr int kCluster = -1;  ///< all warps of a cluster of blocks

/// The columns that a block has of a row: all, or an even share of a cluster's.
struct BlockColumns {
  int begin, length;
};

/// Vectors of V are not cut, and a warp's loads begin at multiples of 32 of them.
inline __host__ __device__ int columns_each(int H, int V, int blocks) {
  const int step = blocks * 32 * V;
  return (H + step - 1) / step * 32 * V;
}

template <int V, int kLanes>
__device__ BlockColumns columns_of_block(int H) {
  if constexpr (kLanes != kCluster) {
    return {0, H};
  } else {
    const int each = columns_each(H, V, static_cast<int>(Cluster::size()));
    const int begin = each * static_cast<int>(Cluster::rank());
    return {begin, H - begin < each ? H - begin : each};
  }
}

// --- sums over a row --------------------------------------------------------------------------

/// Room for RowReducer, in shared memory: a block has at most 32 warps.
template <class A>
struct RowSums {
  A of_warp[2][2][32], of_block[2][2][kMostBlocks];
};

/// In a cluster it comes first in the dynamic shared memory, of which it takes so many bytes.
template <class A, int kLanes>
constexpr size_t room_in_dynamic = kLanes == kCluster ? sizeof(RowSums<A>) : 0;
template <class A, int kLanes>
__device__ RowSums<A>& room_for_sums() {
  if constexpr (kLanes == kCluster) {
    return *dynamic_shared<RowSums<A>>();
  } else {
    __shared__ RowSums<A> room;
    return room;
  }
}

/// Sums over the threads of a row: kLanes, or blockDim.x (a multiple of 32) of each block; the
/// block's rows are its threadIdx.y. The same order every time, so the same bits. Every thread of
/// the block, or cluster, must call sum().
template <class A, int kLanes>
class RowReducer {
 public:
  explicit __device__ RowReducer(RowSums<A>& room) : room_(room) {}

  template <int K>
  __device__ void sum(A (&values)[K]) {
    static_assert(K <= 2);
    constexpr int kNeighbours = kLanes > 0 ? kLanes : 32;
#pragma unroll
    for (int k = 0; k < K; ++k) values[k] = sum_of_lanes<kNeighbours>(values[k]);
    if constexpr (kLanes <= 0) {
      // Two rooms in turn: when one is written again, all have passed the other's barrier since and
      // so have read it.
      if (kLanes == kCluster || blockDim.x > 32) sum_warps(values);
      if constexpr (kLanes == kCluster) sum_blocks(values);
      turn_ ^= 1;
    }
  }

 private:
  template <int K>
  __device__ void sum_warps(A (&values)[K]) {
    A(*of_warp)[32] = room_.of_warp[turn_];
    const int warp = (threadIdx.y * blockDim.x + threadIdx.x) / 32, lane = threadIdx.x % 32;
    const int warps = blockDim.x / 32, first = threadIdx.y * warps;
#pragma unroll
    for (int k = 0; k < K; ++k)
      if (lane == 0) of_warp[k][warp] = values[k];
    __syncthreads();
#pragma unroll
    for (int k = 0; k < K; ++k)
      values[k] = sum_of_lanes(lane < warps ? of_warp[k][first + lane] : A(0));
  }

  /// Every block leaves its sums with all others.
  template <int K>
  __device__ void sum_blocks(A (&values)[K]) {
    if (!begun_) Cluster::sync();  // before, a block's memory may not be there
    begun_ = true;
    A(*of_block)[kMostBlocks] = room_.of_block[turn_];
    const unsigned blocks = Cluster::size();
    if (threadIdx.x < blocks)
#pragma unroll
      for (int k = 0; k < K; ++k)
        *Cluster::in_block(&of_block[k][Cluster::rank()], threadIdx.x) = values[k];
    Cluster::sync();
#pragma unroll
    for (int k = 0; k < K; ++k) {
      values[k] = 0;
      for (unsigned block = 0; block < blocks; ++block) values[k] += of_block[k][block];
    }
  }

  RowSums<A>& room_;
  int turn_ = 0;
  bool begun_ = false;
};

// --- a thread's part of a row -----------------------------------------------------------------

/// The columns that a thread has in registers: each warp of a row has a strip of its own, as even
/// as may be, so that a thread's vectors of V neighbours lie at fixed distances: vector i begins at
/// column first + i * kStep and is there while i * kStep < limit. E elements at most.
template <int V, int E, int kLanes>
struct Strip {
  static constexpr int kNeighbours = kLanes > 0 ? kLanes : 32;
  static constexpr int kVectors = E / V, kStep = kNeighbours * V;
  int first, limit;

  explicit __device__ Strip(const BlockColumns& columns) {
    const int lane = static_cast<int>(threadIdx.x % kNeighbours) * V;
    int begin = 0, end = columns.length;
    if constexpr (kLanes <= 0) {
      const int warps = static_cast<int>(blockDim.x / 32);
      const int steps = (columns.length + warps * kStep - 1) / (warps * kStep);
      const int width = (steps < kVectors ? steps : kVectors) * kStep;
      begin = static_cast<int>(threadIdx.x / 32) * width;
      end = begin + width < columns.length ? begin + width : columns.length;
    }
    first = columns.begin + begin + lane;
    limit = end - begin - lane;
  }
};

/// So many vectors of a thread are loaded before the first is stored.
constexpr int kLoadBatch = 4;

/// This thread's elements of K arrays' rows. With kGeneral a row may be longer than all strips
/// together: `in_shared` vectors more of each thread, a multiple of kLoadBatch, are in shared
/// memory, and what is left is read again in each pass: most of it is found in the L2 cache.
template <class T, int V, int E, int kLanes, int K, bool kGeneral>
class RowPart {
 public:
  using A = accumulate_t<T>;
  using Raw = raw_t<T, V>;
  using Own = Strip<V, E, kLanes>;

  /// H: 0 for a row that is not there.
  __device__ RowPart(const Own& own, int H, int in_shared)
      : first_(own.first), limit_(H > 0 ? own.limit : 0), H_(H), in_shared_(in_shared) {}

  /// Array k's row. `once`: nobody will read it again.
  template <bool once>
  __device__ void load(int k, const T* row) {
    row_[k] = row;
#pragma unroll
    for (int i = 0; i < kHeld; ++i) held_[k][i] = held(i) ? read<once>(row + column(i)) : Raw{};
    if constexpr (kGeneral) {
      for (int i = 0; i < in_shared_; i += kBatch) {
        // All loads come before the first store, and both without a condition, which the compiler
        // would put before the load, too: behind the row's end its beginning is read.
        Raw batch[kBatch];
#pragma unroll
        for (int n = 0; n < kBatch; ++n) {
          const int at = column_beyond(i + n);
          batch[n] = read<once>(row + (at < H_ ? at : 0));
        }
#pragma unroll
        for (int n = 0; n < kBatch; ++n) *shared(k, i + n) = batch[n];
      }
    }
  }

  /// Array k is nowhere used.
  __device__ void leave_out(int k) {
    row_[k] = nullptr;
#pragma unroll
    for (int i = 0; i < kHeld; ++i) held_[k][i] = Raw{};
  }

  /// Array 0's row is x + more; it goes to `total`, too.
  __device__ void load_sum(const T* x, const T* more, T* total) {
    row_[0] = total;
    // A batch's loads all come before its first store, as the compiler cannot know them apart.
#pragma unroll
    for (int begin = 0; begin < kHeld; begin += kBatch) {
      Raw others[kBatch] = {};
#pragma unroll
      for (int i = begin; i < begin + kBatch && i < kHeld; ++i) {
        held_[0][i] = held(i) ? read<true>(x + column(i)) : Raw{};
        if (held(i)) others[i - begin] = read<true>(more + column(i));
      }
#pragma unroll
      for (int i = begin; i < begin + kBatch && i < kHeld; ++i)
        if (held(i)) held_[0][i] = add(held_[0][i], others[i - begin], total + column(i));
    }
    if constexpr (kGeneral)
      for (int i = 0; column_beyond(i) < H_; ++i) {
        const int at = column_beyond(i);
        const Raw sum = add(read<true>(x + at), read<true>(more + at), total + at);
        if (i < in_shared_) *shared(0, i) = sum;
      }
  }

  /// Calls body(column, values) for each of the thread's vectors; values[k] are V of array k.
  template <class Body>
  __device__ void each(const Body& body) const {
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      if (!held(i)) continue;
      A values[K][V];
#pragma unroll
      for (int k = 0; k < K; ++k) unpack<T, V>(held_[k][i], values[k]);
      body(column(i), values);
    }
    if constexpr (kGeneral) {
#pragma unroll 2
      for (int i = 0; column_beyond(i) < H_; ++i) {
        A values[K][V];
#pragma unroll
        for (int k = 0; k < K; ++k) unpack<T, V>(beyond(k, i), values[k]);
        body(column_beyond(i), values);
      }
    }
  }

 private:
  static constexpr int kHeld = Own::kVectors;
  static constexpr int kBatch = kLoadBatch;

  __device__ bool held(int i) const {
    return i * Own::kStep < limit_;
  }
  __device__ int column(int i) const {
    return first_ + i * Own::kStep;
  }
  /// Behind all strips the threads take turns.
  static __device__ int column_beyond(int i) {
    const int threads = static_cast<int>(blockDim.x);
    return threads * E + (i * threads + static_cast<int>(threadIdx.x)) * V;
  }
  template <bool once>
  static __device__ Raw read(const T* at) {
    const Raw* raw = reinterpret_cast<const Raw*>(at);
    return once ? __ldcs(raw) : *raw;
  }
  static __device__ Raw add(const Raw& x, const Raw& more, T* total) {
    A a[V], b[V];
    unpack<T, V>(x, a);
    unpack<T, V>(more, b);
#pragma unroll
    for (int k = 0; k < V; ++k) a[k] += b[k];
    const Raw sum = pack<T, V>(a);
    *reinterpret_cast<Raw*>(total) = sum;
    return sum;
  }
  /// A thread touches its own part of the shared memory only.
  __device__ Raw* shared(int k, int i) const {
    return dynamic_shared<Raw>() + (k * in_shared_ + i) * static_cast<int>(blockDim.x) +
           threadIdx.x;
  }
  __device__ Raw beyond(int k, int i) const {
    if (!row_[k]) return Raw{};
    if (i < in_shared_) return *shared(k, i);
    const Raw* raw = reinterpret_cast<const Raw*>(row_[k] + column_beyond(i));
    return K == 1 ? *raw : __ldg(raw);  // one array: it may be a sum that this thread wrote
  }

  int first_, limit_, H_, in_shared_;
  Raw held_[K][kHeld];
  const T* row_[K];
};

// --- sums over rows ---------------------------------------------------------------------------

/// Sums of dz * y and dz over the rows that a thread has seen, for its columns: in shared memory,
/// [blockDim.y, 2, H], so that the registers are free for loads. A thread touches its own only.
/// Where it has 8 floats, neighbours' are 32 bytes apart, and eight threads would meet in four of
/// the eight places that memory serves at once: every second four threads have their halves
/// swapped.
template <class A, int V>
class ColumnSums {
 public:
  static size_t bytes(unsigned rows, int64_t H) {
    return rows * 2 * static_cast<size_t>(H) * sizeof(A);
  }

  /// `columns` of the block's; `all`: its shared memory for them.
  template <class Own>
  __device__ ColumnSums(const Own& own, const BlockColumns& columns, A* all)
      : begin_(columns.begin),
        H_(columns.length / V * V),
        all_(all),
        own_(all + static_cast<int>(threadIdx.y) * 2 * H_) {
    // H is a multiple of V: said anew, or the compiler would store some elements one by one.
    const A zeros[V] = {};
#pragma unroll
    for (int i = 0; i < Own::kVectors; ++i) {
      if (i * Own::kStep >= own.limit) continue;
      store_accumulators<V>(own_ + own.first - begin_ + i * Own::kStep, zeros);
      store_accumulators<V>(own_ + H_ + own.first - begin_ + i * Own::kStep, zeros);
    }
  }

  __device__ void add(int column, const A (&dz)[V], const A (&y)[V]) {
    column -= begin_;
    const int turn = turn_of(column);
    A gain[V], bias[V];
    load_accumulators<V>(own_ + column, gain, turn);
    load_accumulators<V>(own_ + H_ + column, bias, turn);
#pragma unroll
    for (int k = 0; k < V; ++k) {
      gain[k] += dz[k] * y[k];
      bias[k] += dz[k];
    }
    store_accumulators<V>(own_ + column, gain, turn);
    store_accumulators<V>(own_ + H_ + column, bias, turn);
  }

  /// Sums over threadIdx.y: those of a row's column j go to to[j] for gain, to to[stride + j] for
  /// bias. Every thread of the block must call it.
  __device__ void write(A* to, int64_t stride) const {
    __syncthreads();
    const int threads = static_cast<int>(blockDim.x * blockDim.y);
    for (int j = static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x); j < H_; j += threads) {
      const int there = j ^ turn_of(j);
      A gain = 0, bias = 0;
      for (int y = 0; y < static_cast<int>(blockDim.y); ++y) {
        gain += all_[2 * y * H_ + there];
        bias += all_[(2 * y + 1) * H_ + there];
      }
      to[begin_ + j] = gain;
      to[stride + begin_ + j] = bias;
    }
  }

 private:
  static __device__ int turn_of(int column) {
    return V * sizeof(A) == 32 ? column / 8 & 4 : 0;
  }

  int begin_, H_;
  A *all_, *own_;
};

// --- launching --------------------------------------------------------------------------------

inline Divider segment_divider(int64_t segment) {
  return Divider(segment > 0 ? segment : 1);
}

/// Every row allows loads and stores of 16 bytes.
template <class T>
bool in_vectors(const NormProblem<T>& a) {
  constexpr int V = 16 / sizeof(T);
  bool aligned = a.H % V == 0;
  for (const void* p : {static_cast<const void*>(a.x), static_cast<const void*>(a.z),
                        static_cast<const void*>(a.dz), static_cast<const void*>(a.dx),
                        static_cast<const void*>(a.residual), static_cast<const void*>(a.total),
                        static_cast<const void*>(a.gain), static_cast<const void*>(a.bias)})
    aligned = aligned && reinterpret_cast<uintptr_t>(p) % 16 == 0;
  return aligned;
}

/// Calls run<V>(): vectors of 16 bytes where all rows allow them. Doubles are wide enough alone.
template <class T, class Run>
Failure with_vectors(const NormProblem<T>& a, const Run& run) {
  if constexpr (sizeof(T) < sizeof(double))
    if (in_vectors(a)) return run.template operator()<16 / sizeof(T)>();
  return run.template operator()<1>();
}

}  // namespace normlab::cuda
