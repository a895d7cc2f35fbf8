#include <cub/device/device_radix_sort.cuh>

#include "cuda/elements.h"
#include "cuda/value_check.h"
#include "ops/indexing_cuda.h"

// Rows and elements taken, and their gradients given back. Giving back adds the rows of dz up by
// where they came from: the places are sorted by row, equal ones as they came, and runs of one row
// are added in that order, so that nothing depends on which thread came first.

namespace normlab::cuda {
namespace {

/// A grid of that many blocks along x; along y as many more as wide rows of `pieces` have work for.
dim3 grid_with_pieces(unsigned x, int64_t pieces) {
  constexpr int64_t kMostBlocks = 8192, kMostAlongY = 65535;
  int64_t y = kMostBlocks / x;
  if (y > pieces) y = pieces;
  if (y > kMostAlongY) y = kMostAlongY;
  return dim3(x, static_cast<unsigned>(y > 1 ? y : 1));  // rows may be empty
}

/// The least power of two that is not less than n, at most `most`.
int64_t power_of_two(int64_t n, int64_t most) {
  int64_t power = 1;
  while (power < n && power < most) power *= 2;
  return power;
}

template <class Body>
Failure for_index(DType dtype, const Body& body) {
  return dtype == DType::int32 ? body.template operator()<int32_t>()
                               : body.template operator()<int64_t>();
}

// --- taking -----------------------------------------------------------------------------------

/// The checked index in [0, n), or -1.
template <class Index>
__device__ int64_t checked(const Index* index, int64_t k, int64_t n, FaultKind kind,
                           const Checker& checker, bool reports) {
  const int64_t i = index[k];
  if (0 <= i && i < n) return i;
  if (kind == FaultKind::index && -n <= i && i < 0) return i + n;
  if (reports) report(checker, kind, k, i);
  return -1;
}

/// Rows in units of U: threadIdx.x and blockIdx.y go along a row, threadIdx.y over rows.
template <class U, class Index>
__global__ void take_rows(TakeArgs a, int64_t units, Checker checker) {
  const auto* index = static_cast<const Index*>(a.index);
  U missing;
  memset(&missing, a.missing, sizeof missing);
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.y;
  const int64_t first = static_cast<int64_t>(blockIdx.y) * blockDim.x + threadIdx.x,
                along = static_cast<int64_t>(gridDim.y) * blockDim.x;
  for (int64_t k = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y; k < a.count;
       k += step) {
    const int64_t row = checked(index, k, a.n, a.kind, checker, first == 0);
    if (a.rows && first == 0) a.rows[k] = row;
    const U* from = static_cast<const U*>(a.x) + (row < 0 ? 0 : row) * units;
    U* to = static_cast<U*>(a.z) + k * units;
    for (int64_t u = first; u < units; u += along) to[u] = row < 0 ? missing : from[u];
  }
}

template <class U>
Failure take_in(const TakeArgs& a) {
  const int64_t units = a.bytes / static_cast<int64_t>(sizeof(U)), X = power_of_two(units, 128);
  const dim3 block(static_cast<unsigned>(X), static_cast<unsigned>(kElementThreads / X)),
      grid = grid_with_pieces(element_blocks(a.count, block.y), (units + X - 1) / X);
  return for_index(a.index_dtype, [&]<class Index>() {
    return launch(take_rows<U, Index>, grid, block, a, units, checker_for(a.check));
  });
}

Failure take(const TakeArgs& a) {
  if (a.count == 0) return nullptr;
  const auto bits = reinterpret_cast<uintptr_t>(a.x) | reinterpret_cast<uintptr_t>(a.z) |
                    static_cast<uintptr_t>(a.bytes);
  return for_unit(bits, [&]<class U>() { return take_in<U>(a); });
}

template <class U, class Index>
__global__ void gather_elements(GatherArgs a, Checker checker) {
  const auto* index = static_cast<const Index*>(a.index);
  U missing;
  memset(&missing, a.missing, sizeof missing);
  for (int64_t k = element_index(); k < a.count; k += element_step()) {
    const int64_t i = checked(index, k, a.n, FaultKind::index, checker, true);
    int64_t base = 0, rest = k;
    for (int axis = a.rank - 1; axis >= 0; --axis) {
      base += rest % a.lengths[axis] * a.steps[axis];
      rest /= a.lengths[axis];
    }
    const int64_t element = i < 0 ? -1 : base + i * a.step;
    if (a.elements) a.elements[k] = element;
    static_cast<U*>(a.z)[k] = i < 0 ? missing : static_cast<const U*>(a.x)[element];
  }
}

Failure gather(const GatherArgs& a) {
  if (a.count == 0) return nullptr;
  return for_item(a.item, [&]<class U>() {
    return for_index(a.index_dtype, [&]<class Index>() {
      return launch(gather_elements<U, Index>, element_blocks(a.count), kElementThreads, a,
                    checker_for(a.check));
    });
  });
}

// --- sorting places by row --------------------------------------------------------------------
// A key holds the row above the place, so that sorted keys have the places of a row in order.
// Places that give nothing go to row `rows`, behind all others.

__global__ void __launch_bounds__(kElementThreads) make_keys(ScatterArgs a, uint64_t* keys) {
  for (int64_t k = element_index(); k < a.count; k += element_step()) {
    const int64_t row = a.at[k];
    const bool counts = row >= 0 && row != a.without;
    keys[k] = static_cast<uint64_t>(counts ? row : a.rows) << 32 | static_cast<uint64_t>(k);
  }
}
__device__ int64_t row_in(uint64_t key) {
  return static_cast<int64_t>(key >> 32);
}
__device__ int64_t place_in(uint64_t key) {
  return static_cast<int64_t>(key & 0xffffffffu);
}

/// Sorts by rows below 2^`bits`, stably: places of one row stay in order. Null `temporary`: only
/// tells how many bytes of it that takes.
Failure sort_keys(void* temporary, size_t& bytes, const uint64_t* keys, uint64_t* sorted,
                  int64_t count, int bits) {
  const OnDevice here;
  return failure_of(cub::DeviceRadixSort::SortKeys(
      temporary, bytes, keys, sorted, static_cast<int>(count), 32, 32 + bits, stream()));
}

// --- adding up runs of one row ----------------------------------------------------------------
// The sorted keys are cut into chunks. A run within a chunk is done there; of a run that goes on,
// every chunk leaves its part: [chunk][0] of the run that came from before, [chunk][1] of one that
// begins there. The chunk where it begins adds them up.

struct Runs {
  const uint64_t* keys;
  int64_t chunk;
  double* parts;  ///< [chunks, 2, width]
};

template <class T>
struct RunSum {
  const ScatterArgs& a;
  const Runs& runs;
  int64_t chunk, column;
  int64_t row;
  bool from_before;
  double sum = 0;

  __device__ void add(uint64_t key, compute_t<T> value) {
    if (row_in(key) != row) {
      close(false);
      row = row_in(key);
      from_before = false;
      sum = 0;
    }
    sum += static_cast<double>(value);
  }
  __device__ void close(bool goes_on) const {
    if (row >= a.rows) return;
    if (from_before || goes_on)
      runs.parts[(2 * chunk + (from_before ? 0 : 1)) * a.width + column] = sum;
    else
      static_cast<T*>(a.dx)[row * a.width + column] = static_cast<T>(sum);
  }
};

/// threadIdx.x and blockIdx.y go over columns, threadIdx.y over chunks.
template <class T>
__global__ void sum_chunks(ScatterArgs a, Runs runs) {
  constexpr int kAhead = 4;  // loads on their way at once
  const int64_t chunk = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  const int64_t begin = chunk * runs.chunk;
  if (begin >= a.count) return;
  const int64_t end = begin + runs.chunk < a.count ? begin + runs.chunk : a.count;
  const T* dz = static_cast<const T*>(a.dz);
  const int64_t first = row_in(runs.keys[begin]);
  const bool from_before = begin > 0 && row_in(runs.keys[begin - 1]) == first;
  const int64_t step = static_cast<int64_t>(gridDim.y) * blockDim.x;
  for (int64_t j = static_cast<int64_t>(blockIdx.y) * blockDim.x + threadIdx.x; j < a.width;
       j += step) {
    RunSum<T> run{a, runs, chunk, j, first, from_before};
    for (int64_t i = begin; i < end; i += kAhead) {
      uint64_t key[kAhead];
      compute_t<T> value[kAhead];
#pragma unroll
      for (int u = 0; u < kAhead; ++u) {
        key[u] = runs.keys[i + u < end ? i + u : end - 1];
        const bool counts = row_in(key[u]) < a.rows;
        value[u] = counts ? widened(dz[place_in(key[u]) * a.width + j]) : compute_t<T>(0);
      }
#pragma unroll
      for (int u = 0; u < kAhead; ++u)
        if (i + u < end) run.add(key[u], value[u]);
    }
    run.close(end < a.count && row_in(runs.keys[end]) == run.row);
  }
}

/// The first place from `begin` on whose key belongs to a later row.
__device__ int64_t end_of_run(const uint64_t* keys, int64_t begin, int64_t count) {
  const int64_t row = row_in(keys[begin]);
  int64_t end = count;
  while (begin < end) {
    const int64_t middle = begin + (end - begin) / 2;
    if (row_in(keys[middle]) > row)
      end = middle;
    else
      begin = middle + 1;
  }
  return end;
}

constexpr int kSlices = 8;

/// Blocks (c, *) add up the parts of the run that begins in chunk c and goes on. All threads of a
/// block take the same branches.
template <class T>
__global__ void __launch_bounds__(32 * kSlices) join_chunks(ScatterArgs a, Runs runs) {
  __shared__ double sums[kSlices][32];
  const int64_t chunk = blockIdx.x, begin = chunk * runs.chunk, end = begin + runs.chunk;
  if (end >= a.count) return;
  const int64_t row = row_in(runs.keys[end]);
  if (row >= a.rows || row_in(runs.keys[end - 1]) != row) return;
  if (begin > 0 && row_in(runs.keys[begin - 1]) == row) return;
  const int64_t others = (end_of_run(runs.keys, end, a.count) - 1) / runs.chunk - chunk;
  const int64_t from = chunk + 1 + others * threadIdx.y / kSlices,
                to = chunk + 1 + others * (threadIdx.y + 1) / kSlices;
  for (int64_t first = int64_t{32} * blockIdx.y; first < a.width;
       first += int64_t{32} * gridDim.y) {
    const int64_t j = first + threadIdx.x;
    double sum = 0;
    if (j < a.width)
      for (int64_t c = from; c < to; ++c) sum += runs.parts[2 * c * a.width + j];
    __syncthreads();  // the last sums have been read
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y > 0 || j >= a.width) continue;
    double total = runs.parts[(2 * chunk + 1) * a.width + j];
    for (int s = 0; s < kSlices; ++s) total += sums[s][threadIdx.x];
    static_cast<T*>(a.dx)[row * a.width + j] = static_cast<T>(total);
  }
}

// --- launching --------------------------------------------------------------------------------

int64_t chunk_of(int64_t count) {
  return count <= 8192 ? 16 : 128;
}

int64_t padded(int64_t bytes) {
  return (bytes + 255) / 256 * 256;
}

/// How the scratch is divided.
struct Scratch {
  int64_t chunks, keys, parts;
  size_t temporary = 0;
  Failure failure;
  Scratch(int64_t count, int64_t width)
      : chunks((count + chunk_of(count) - 1) / chunk_of(count)),
        keys(padded(count * 8)),
        parts(padded(chunks * 2 * width * 8)),
        failure(sort_keys(nullptr, temporary, nullptr, nullptr, count, 32)) {}
  int64_t bytes() const { return 2 * keys + parts + static_cast<int64_t>(temporary); }
};

int64_t scatter_scratch(int64_t count, int64_t width) {
  return count > INT32_MAX ? 0 : Scratch(count, width).bytes();
}

template <class T>
Failure scatter_as(const ScatterArgs& a) {
  Failure failure = set_bytes(a.dx, 0, a.rows * a.width * static_cast<int64_t>(sizeof(T)));
  if (failure || a.count == 0) return failure;
  Scratch scratch(a.count, a.width);
  if (scratch.failure) return scratch.failure;
  char* at = static_cast<char*>(a.scratch);
  auto* keys = reinterpret_cast<uint64_t*>(at);
  auto* sorted = reinterpret_cast<uint64_t*>(at + scratch.keys);
  at += 2 * scratch.keys;
  const Runs runs{sorted, chunk_of(a.count), reinterpret_cast<double*>(at)};
  failure = launch(make_keys, element_blocks(a.count), kElementThreads, a, keys);
  int bits = 1;
  while (bits < 32 && a.rows >> bits) ++bits;  // row `rows` comes too
  if (!failure)
    failure = sort_keys(at + scratch.parts, scratch.temporary, keys, sorted, a.count, bits);
  if (failure) return failure;
  const int64_t X = power_of_two(a.width, 128);
  const dim3 block(static_cast<unsigned>(X), static_cast<unsigned>(128 / X));
  const dim3 grid = grid_with_pieces(blocks_for(scratch.chunks, block.y), (a.width + X - 1) / X);
  failure = launch(sum_chunks<T>, grid, block, a, runs);
  if (failure || scratch.chunks == 1) return failure;
  const auto chunks = static_cast<unsigned>(scratch.chunks);
  return launch(join_chunks<T>, grid_with_pieces(chunks, (a.width + 31) / 32), dim3(32, kSlices), a,
                runs);
}

Failure scatter(const ScatterArgs& a) {
  if (a.rows == 0 || a.width == 0) return nullptr;
  if (a.rows > INT32_MAX || a.count > INT32_MAX) return "more than 2^31 rows or indices";
  return for_stored(a.dtype, [&]<class T>() { return scatter_as<T>(a); });
}

// --- short lines ------------------------------------------------------------------------------

template <class T>
__global__ void add_lines(const int64_t* at, int64_t lines, int64_t length, int64_t inner,
                          const T* dz, T* dx) {
  for (int64_t line = element_index(); line < lines; line += element_step())
    for (int64_t l = 0; l < length; ++l) {
      const int64_t k = (line / inner * length + l) * inner + line % inner;
      if (at[k] >= 0) dx[at[k]] = static_cast<T>(widened(dx[at[k]]) + widened(dz[k]));
    }
}

Failure scatter_lines(DType dtype, const int64_t* at, int64_t outer, int64_t length, int64_t inner,
                      const void* dz, void* dx) {
  const int64_t lines = outer * inner;
  if (lines == 0 || length == 0) return nullptr;
  return for_stored(dtype, [&]<class T>() {
    return launch(add_lines<T>, element_blocks(lines), kElementThreads, at, lines, length, inner,
                  static_cast<const T*>(dz), static_cast<T*>(dx));
  });
}

}  // namespace

const IndexFunctions index_functions = {
    .take = take,
    .gather = gather,
    .scatter_scratch = scatter_scratch,
    .scatter = scatter,
    .scatter_lines = scatter_lines,
};

}  // namespace normlab::cuda
