#include "cuda/launch.h"
#include "cuda/value_check.h"
#include "ops/indexing_cuda.h"

// Rows and elements taken, and their gradients given back. Giving back adds the rows of dz up by
// where they came from: the places are sorted by row, equal ones as they came, and runs of one row
// are added in that order, so that nothing depends on which thread came first.

namespace normlab::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMostBlocks = 8192;

unsigned blocks_at_most(int64_t n, int64_t each) {
  const int64_t blocks = (n + each - 1) / each;
  return static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks);
}

/// A grid of that many blocks along x; along y as many more as wide rows of `pieces` have work for.
dim3 grid_with_pieces(unsigned x, int64_t pieces) {
  constexpr int64_t kMostAlongY = 65535;
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

struct alignas(16) Sixteen {
  uint64_t half[2];
};

template <class U>
Failure take_in(const TakeArgs& a) {
  const int64_t units = a.bytes / static_cast<int64_t>(sizeof(U)), X = power_of_two(units, 128);
  const dim3 block(static_cast<unsigned>(X), static_cast<unsigned>(kThreads / X)),
      grid = grid_with_pieces(blocks_at_most(a.count, block.y), (units + X - 1) / X);
  return for_index(a.index_dtype, [&]<class Index>() {
    return launch(take_rows<U, Index>, grid, block, a, units, checker_for(a.check));
  });
}

Failure take(const TakeArgs& a) {
  if (a.count == 0) return nullptr;
  const auto bits = reinterpret_cast<uintptr_t>(a.x) | reinterpret_cast<uintptr_t>(a.z) |
                    static_cast<uintptr_t>(a.bytes);
  if (bits % 16 == 0) return take_in<Sixteen>(a);
  if (bits % 8 == 0) return take_in<uint64_t>(a);
  if (bits % 4 == 0) return take_in<uint32_t>(a);
  if (bits % 2 == 0) return take_in<uint16_t>(a);
  return take_in<uint8_t>(a);
}

template <class U, class Index>
__global__ void gather_elements(GatherArgs a, Checker checker) {
  const auto* index = static_cast<const Index*>(a.index);
  U missing;
  memset(&missing, a.missing, sizeof missing);
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t k = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; k < a.count;
       k += step) {
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

template <class U>
Failure gather_in(const GatherArgs& a) {
  return for_index(a.index_dtype, [&]<class Index>() {
    return launch(gather_elements<U, Index>, blocks_at_most(a.count, kThreads), kThreads, a,
                  checker_for(a.check));
  });
}

Failure gather(const GatherArgs& a) {
  if (a.count == 0) return nullptr;
  if (a.item == 8) return gather_in<uint64_t>(a);
  if (a.item == 4) return gather_in<uint32_t>(a);
  return a.item == 2 ? gather_in<uint16_t>(a) : gather_in<uint8_t>(a);
}

// --- sorting places by row --------------------------------------------------------------------
// A key holds the row above the place, so that sorted keys have the places of a row in order.
// Places that give nothing go to row `rows`, behind all others.

__device__ uint64_t key_of(const ScatterArgs& a, int64_t k) {
  const int64_t row = a.at[k];
  const bool counts = row >= 0 && row != a.without;
  return static_cast<uint64_t>(counts ? row : a.rows) << 32 | static_cast<uint64_t>(k);
}
__device__ int64_t row_in(uint64_t key) {
  return static_cast<int64_t>(key >> 32);
}
__device__ int64_t place_in(uint64_t key) {
  return static_cast<int64_t>(key & 0xffffffffu);
}

constexpr int kSmall = 4096, kSmallThreads = 1024;

/// Block 0 sorts up to kSmall keys, of which `padded` is the next power of two (Batcher's bitonic
/// network); the others fill dx with zeros meanwhile.
template <class T>
__global__ void __launch_bounds__(kSmallThreads)
    sort_small(ScatterArgs a, int padded, uint64_t* sorted) {
  __shared__ uint64_t keys[kSmall];
  if (blockIdx.x > 0) {
    const int64_t n = a.rows * a.width, step = static_cast<int64_t>(gridDim.x - 1) * blockDim.x;
    for (int64_t i = static_cast<int64_t>(blockIdx.x - 1) * blockDim.x + threadIdx.x; i < n;
         i += step)
      static_cast<T*>(a.dx)[i] = T(0);
    return;
  }
  const int count = static_cast<int>(a.count);
  for (int i = threadIdx.x; i < padded; i += kSmallThreads)
    keys[i] = i < count ? key_of(a, i) : ~uint64_t{0};
  for (int size = 2; size <= padded; size *= 2)
    for (int apart = size / 2; apart > 0; apart /= 2) {
      __syncthreads();
      for (int pair = threadIdx.x; pair < padded / 2; pair += kSmallThreads) {
        const int low = 2 * pair - (pair & (apart - 1)), high = low + apart;
        const uint64_t x = keys[low], y = keys[high];
        const bool rising = (low & size) == 0;
        if ((x > y) == rising) {
          keys[low] = y;
          keys[high] = x;
        }
      }
    }
  __syncthreads();
  for (int i = threadIdx.x; i < count; i += kSmallThreads) sorted[i] = keys[i];
}

// Longer lists: a radix sort from the lowest digit, stable by construction. A block's keys are
// consecutive, and so are those of its warps.

constexpr int kBits = 8, kDigits = 1 << kBits, kWarps = kThreads / 32, kRounds = 16;
constexpr int64_t kBlockKeys = int64_t{kThreads} * kRounds;
static_assert(kDigits == kThreads, "a thread for each digit");

/// Pass over the digit at `shift` of `from`, or of the places themselves in the first pass.
struct Pass {
  const uint64_t* from;  ///< null: the first pass
  uint64_t* to;
  uint32_t* counts;  ///< [kDigits, blocks]
  uint32_t* totals;  ///< [kDigits]
  int shift;
};

__device__ uint64_t key_at(const ScatterArgs& a, const Pass& pass, int64_t i) {
  return pass.from ? pass.from[i] : key_of(a, i);
}
__device__ int digit_of(uint64_t key, int shift) {
  return static_cast<int>(key >> shift) & (kDigits - 1);
}

__global__ void __launch_bounds__(kThreads) count_digits(ScatterArgs a, Pass pass) {
  __shared__ uint32_t count[kDigits];
  count[threadIdx.x] = 0;
  __syncthreads();
  const int64_t begin = blockIdx.x * kBlockKeys;
  for (int64_t i = begin + threadIdx.x; i < begin + kBlockKeys && i < a.count; i += kThreads)
    atomicAdd(&count[digit_of(key_at(a, pass, i), pass.shift)], 1u);
  __syncthreads();
  pass.counts[static_cast<int64_t>(threadIdx.x) * gridDim.x + blockIdx.x] = count[threadIdx.x];
}

/// Sums of the values of all threads before this one; `total` gets that of all.
__device__ uint32_t sum_before(uint32_t value, uint32_t* total) {
  __shared__ uint32_t of_warp[kWarps];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  uint32_t sum = value;
  for (int step = 1; step < 32; step *= 2) {
    const uint32_t before = __shfl_up_sync(0xffffffffu, sum, step);
    if (lane >= step) sum += before;
  }
  __syncthreads();  // the last sums have been read
  if (lane == 31) of_warp[warp] = sum;
  __syncthreads();
  uint32_t before = 0, all = 0;
  for (int w = 0; w < kWarps; ++w) {
    if (w < warp) before += of_warp[w];
    all += of_warp[w];
  }
  *total = all;
  return before + sum - value;
}

/// Block d turns the counts of digit d into the sums of those before.
__global__ void __launch_bounds__(kThreads) sum_counts(Pass pass, int64_t blocks) {
  uint32_t* counts = pass.counts + blockIdx.x * blocks;
  uint32_t carried = 0;
  for (int64_t first = 0; first < blocks; first += kThreads) {
    const int64_t i = first + threadIdx.x;
    uint32_t total = 0;
    const uint32_t before = sum_before(i < blocks ? counts[i] : 0u, &total);
    if (i < blocks) counts[i] = carried + before;
    carried += total;
  }
  if (threadIdx.x == 0) pass.totals[blockIdx.x] = carried;
}

/// The lanes whose key has the same digit; 0 for a lane without a key.
__device__ uint32_t peers_of(int digit, bool inside) {
  uint32_t peers = __ballot_sync(0xffffffffu, inside);
  for (int bit = 0; bit < kBits; ++bit) {
    const uint32_t set = __ballot_sync(0xffffffffu, digit >> bit & 1);
    peers &= digit >> bit & 1 ? set : ~set;
  }
  return inside ? peers : 0;
}

__global__ void __launch_bounds__(kThreads) move_keys(ScatterArgs a, Pass pass) {
  __shared__ uint32_t next[kWarps][kDigits];  // first counts, then where the next key goes
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, digit_of_mine = threadIdx.x;
  const int64_t first = blockIdx.x * kBlockKeys + int64_t{warp} * kRounds * 32 + lane;
  for (int w = 0; w < kWarps; ++w) next[w][threadIdx.x] = 0;
  __syncthreads();
  for (int round = 0; round < kRounds; ++round) {
    const int64_t i = first + round * 32;
    const int digit = i < a.count ? digit_of(key_at(a, pass, i), pass.shift) : 0;
    const uint32_t peers = peers_of(digit, i < a.count);
    if (peers && __ffs(static_cast<int>(peers)) - 1 == lane) next[warp][digit] += __popc(peers);
    __syncwarp();
  }
  __syncthreads();
  uint32_t all = 0;
  uint32_t at = sum_before(pass.totals[digit_of_mine], &all) +
                pass.counts[static_cast<int64_t>(digit_of_mine) * gridDim.x + blockIdx.x];
  for (int w = 0; w < kWarps; ++w) {
    const uint32_t count = next[w][digit_of_mine];
    next[w][digit_of_mine] = at;
    at += count;
  }
  __syncthreads();
  for (int round = 0; round < kRounds; ++round) {
    const int64_t i = first + round * 32;
    const bool inside = i < a.count;
    const uint64_t key = inside ? key_at(a, pass, i) : 0;
    const int digit = digit_of(key, pass.shift);
    const uint32_t peers = peers_of(digit, inside);
    const uint32_t begin = inside ? next[warp][digit] : 0;
    __syncwarp();  // all have read before the first of the peers goes on
    if (peers && __ffs(static_cast<int>(peers)) - 1 == lane) next[warp][digit] += __popc(peers);
    __syncwarp();
    if (inside) pass.to[begin + __popc(peers & ((1u << lane) - 1))] = key;
  }
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
  int64_t keys, counts, totals, parts, chunks, blocks;
  Scratch(int64_t count, int64_t width) {
    chunks = (count + chunk_of(count) - 1) / chunk_of(count);
    blocks = count <= kSmall ? 0 : (count + kBlockKeys - 1) / kBlockKeys;
    keys = padded(count * 8);
    counts = padded(blocks * kDigits * 4);
    totals = padded(kDigits * 4);
    parts = padded(chunks * 2 * width * 8);
  }
  int64_t bytes() const { return 2 * keys + counts + totals + parts; }
};

int64_t scatter_scratch(int64_t count, int64_t width) {
  return Scratch(count, width).bytes();
}

Failure zero(const ScatterArgs& a) {
  const int64_t item = a.dtype == DType::float64 ? 8 : a.dtype == DType::float32 ? 4 : 2;
  return set_bytes(a.dx, 0, a.rows * a.width * item);
}

template <class T>
Failure sort_few(const ScatterArgs& a, uint64_t* sorted) {
  const int64_t n = a.rows * a.width;
  return launch(sort_small<T>, 1 + blocks_at_most(n, 4 * kSmallThreads), kSmallThreads, a,
                static_cast<int>(power_of_two(a.count, kSmall)), sorted);
}

/// Leaves the sorted keys in keys[0] or keys[1]; says in which.
Failure sort_many(const ScatterArgs& a, const Scratch& scratch, uint64_t* (&keys)[2], Pass pass,
                  int* sorted) {
  const auto blocks = static_cast<unsigned>(scratch.blocks);
  Failure failure = zero(a);
  int bits = 1;
  while (bits < 32 && a.rows >> bits) ++bits;  // row `rows` comes too
  pass.from = nullptr;
  *sorted = 1;
  for (int shift = 0; shift < bits && !failure; shift += kBits) {
    *sorted = 1 - *sorted;
    pass.to = keys[*sorted];
    pass.shift = 32 + shift;
    failure = launch(count_digits, blocks, kThreads, a, pass);
    if (!failure) failure = launch(sum_counts, kDigits, kThreads, pass, scratch.blocks);
    if (!failure) failure = launch(move_keys, blocks, kThreads, a, pass);
    pass.from = pass.to;
  }
  return failure;
}

template <class T>
Failure scatter_as(const ScatterArgs& a) {
  if (a.count == 0) return zero(a);
  const Scratch scratch(a.count, a.width);
  char* at = static_cast<char*>(a.scratch);
  uint64_t* keys[2] = {reinterpret_cast<uint64_t*>(at),
                       reinterpret_cast<uint64_t*>(at + scratch.keys)};
  at += 2 * scratch.keys;
  Pass pass{};
  pass.counts = reinterpret_cast<uint32_t*>(at);
  pass.totals = reinterpret_cast<uint32_t*>(at + scratch.counts);
  at += scratch.counts + scratch.totals;
  int sorted = 0;
  Failure failure =
      a.count <= kSmall ? sort_few<T>(a, keys[0]) : sort_many(a, scratch, keys, pass, &sorted);
  if (failure) return failure;
  const Runs runs{keys[sorted], chunk_of(a.count), reinterpret_cast<double*>(at)};
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
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t line = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; line < lines;
       line += step)
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
    return launch(add_lines<T>, blocks_at_most(lines, kThreads), kThreads, at, lines, length, inner,
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
