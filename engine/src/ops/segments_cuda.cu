#include <cmath>

#include "cuda/launch.h"
#include "cuda/value_check.h"
#include "ops/segments_cuda.h"

// What packed sentences want beside attention. A block checks the offsets that it uses; together
// they check all.

namespace normlab::cuda {
namespace {

constexpr int kColumns = 32, kSlices = 8;
constexpr int kMostSlices = 32;  ///< where sentences are long

struct Segment {
  int64_t begin, end;
  bool fits;
};

/// Reports what is wrong with a sentence's offsets. Within [0, rows] where `fits`.
__device__ Segment segment_at(const SegmentArgs& a, int64_t s, const Checker& checker,
                              bool reports) {
  const int64_t begin = a.offsets[s], end = a.offsets[s + 1];
  if (reports && s == 0 && begin != 0) report(checker, FaultKind::offsets_begin, 0, begin);
  if (reports && end < begin) report(checker, FaultKind::offsets_fall, s + 1, end, begin);
  if (reports && s + 1 == a.sentences && end != a.rows)
    report(checker, FaultKind::offsets_end, s + 2, end);
  return {begin, end, 0 <= begin && begin <= end && end <= a.rows};
}

__global__ void check_offsets(SegmentArgs a, Checker checker) {
  for (int64_t s = threadIdx.x; s < a.sentences; s += blockDim.x) segment_at(a, s, checker, true);
  if (a.sentences > 0 || threadIdx.x > 0) return;
  if (a.offsets[0] != 0) report(checker, FaultKind::offsets_begin, 0, a.offsets[0]);
  if (a.offsets[0] != a.rows) report(checker, FaultKind::offsets_end, 1, a.offsets[0]);
}

/// Sentence blockIdx.x, columns of blockIdx.y; threadIdx.y takes a slice of the rows.
template <class T>
__global__ void __launch_bounds__(kColumns* kMostSlices)
    segment_means(SegmentArgs a, const T* x, T* z, Checker checker) {
  using A = compute_t<T>;
  __shared__ double sums[kMostSlices][kColumns];
  const int64_t s = blockIdx.x, j = static_cast<int64_t>(blockIdx.y) * kColumns + threadIdx.x;
  const bool reports = blockIdx.y == 0 && threadIdx.x == 0 && threadIdx.y == 0;
  const Segment segment = segment_at(a, s, checker, reports);
  const int64_t rows = segment.fits ? segment.end - segment.begin : 0;
  double sum = 0;
  if (j < a.size)
    for (int64_t i = threadIdx.y; i < rows; i += blockDim.y)
      sum += static_cast<double>(widened(x[(segment.begin + i) * a.size + j]));
  sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y > 0 || j >= a.size) return;
  double total = 0;
  for (unsigned slice = 0; slice < blockDim.y; ++slice) total += sums[slice][threadIdx.x];
  const double mean = rows == 0 ? 0.0 : total * (1.0 / static_cast<double>(rows));
  z[s * a.size + j] = static_cast<T>(static_cast<A>(segment.fits ? mean : NAN));
}

template <class T>
__global__ void __launch_bounds__(kColumns* kSlices)
    segment_means_backward(SegmentArgs a, const T* dz, T* dx, Checker checker) {
  using A = compute_t<T>;
  const int64_t s = blockIdx.x, j = static_cast<int64_t>(blockIdx.y) * kColumns + threadIdx.x;
  const Segment segment = segment_at(a, s, checker, false);
  if (!segment.fits || j >= a.size) return;
  const A factor = A(1) / static_cast<A>(segment.end - segment.begin);
  const T share = static_cast<T>(widened(dz[s * a.size + j]) * factor);
  for (int64_t row = segment.begin + threadIdx.y; row < segment.end; row += kSlices)
    dx[row * a.size + j] = share;
}

/// The last sentence that begins at or before a row, if the offsets fit.
__device__ int64_t sentence_of(const SegmentArgs& a, int64_t row) {
  int64_t low = 0, high = a.sentences;
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    if (a.offsets[middle] <= row)
      low = middle;
    else
      high = middle;
  }
  return low;
}

/// A thread has a sine and the cosine beside it, of which it goes over rows.
__global__ void __launch_bounds__(kColumns* kSlices)
    sine_positions(SegmentArgs a, double scale, float* z) {
  if (a.sentences == 0) return;
  const int64_t pairs = (a.size + 1) / 2, across = static_cast<int64_t>(gridDim.y) * kColumns,
                down = static_cast<int64_t>(gridDim.x) * kSlices;
  for (int64_t pair = static_cast<int64_t>(blockIdx.y) * kColumns + threadIdx.x; pair < pairs;
       pair += across) {
    const int64_t j = 2 * pair;
    const double rate = pow(10000.0, -static_cast<double>(j) / static_cast<double>(a.size));
    for (int64_t row = static_cast<int64_t>(blockIdx.x) * kSlices + threadIdx.y; row < a.rows;
         row += down) {
      const auto place = static_cast<double>(row - a.offsets[sentence_of(a, row)]);
      double sine = 0, cosine = 0;
      sincos(place * rate, &sine, &cosine);
      float* to = z + row * a.size + j;
      to[0] = static_cast<float>(scale * sine);
      if (j + 1 < a.size) to[1] = static_cast<float>(scale * cosine);
    }
  }
}

// --- launching --------------------------------------------------------------------------------

Failure check(const SegmentArgs& a) {
  return launch(check_offsets, 1, 256, a, checker_for(a.check));
}

dim3 grid_of(const SegmentArgs& a) {
  return dim3(static_cast<unsigned>(a.sentences), blocks_for(a.size, kColumns));
}

bool too_wide(const SegmentArgs& a) {
  return (a.size + kColumns - 1) / kColumns > 65535;
}
constexpr Failure kTooWide = "rows of more than 2,097,120 elements";

Failure mean(DType dtype, const SegmentArgs& a, const void* x, void* z) {
  if (a.sentences == 0 || a.size == 0) return check(a);
  if (too_wide(a)) return kTooWide;
  return for_stored(dtype, [&]<class T>() {
    const int slices = a.rows / a.sentences < 128 ? kSlices : kMostSlices;
    return launch(segment_means<T>, grid_of(a), dim3(kColumns, slices), a, static_cast<const T*>(x),
                  static_cast<T*>(z), checker_for(a.check));
  });
}

Failure mean_backward(DType dtype, const SegmentArgs& a, const void* dz, void* dx) {
  if (a.sentences == 0 || a.size == 0) return nullptr;
  if (too_wide(a)) return kTooWide;
  return for_stored(dtype, [&]<class T>() {
    return launch(segment_means_backward<T>, grid_of(a), dim3(kColumns, kSlices), a,
                  static_cast<const T*>(dz), static_cast<T*>(dx), checker_for(a.check));
  });
}

Failure positions(const SegmentArgs& a, double scale, float* z) {
  if (a.rows == 0 || a.size == 0) return nullptr;
  constexpr int64_t kRows = 8;  // of a thread: a power costs as much as several sines
  const int64_t pieces = ((a.size + 1) / 2 + kColumns - 1) / kColumns;
  const dim3 grid(blocks_for(a.rows, kRows * kSlices),
                  static_cast<unsigned>(pieces < 65535 ? pieces : 65535));
  return launch(sine_positions, grid, dim3(kColumns, kSlices), a, scale, z);
}

}  // namespace

const SegmentFunctions segment_functions = {
    .check = check,
    .mean = mean,
    .mean_backward = mean_backward,
    .positions = positions,
};

}  // namespace normlab::cuda
