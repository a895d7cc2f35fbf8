#include <type_traits>

#include "ops/norm_cuda.h"
#include "ops/norm_math_cuda.h"

// topk: the kk-th largest and the kk-th smallest entry of each row, the first of equals first. A
// radix select over the entries' bits, then, where several are equal, over their indices.

namespace normlab::cuda {
namespace {

constexpr int kThreads = 512, kDigits = 256;

/// Unsigned numbers in the order of the values; -0 equals 0.
template <class A>
__device__ auto key_of(A x) {
  using Key = std::conditional_t<sizeof(A) == 8, uint64_t, uint32_t>;
  constexpr Key kSign = Key{1} << (sizeof(Key) * 8 - 1);
  x = x == 0 ? A(0) : x;
  Key bits;
  memcpy(&bits, &x, sizeof bits);
  return bits & kSign ? static_cast<Key>(~bits) : static_cast<Key>(bits | kSign);
}

/// State of the search for an entry: the digits of key and index found so far, and the number of
/// entries before it that share them.
template <class Key>
struct Search {
  Key key, key_mask;
  uint32_t index, index_mask;
  int before;

  __device__ bool fits(Key k, uint32_t j) const {
    return ((k ^ key) & key_mask) == 0 && ((j ^ index) & index_mask) == 0;
  }
};

/// The digit of the entry looked for, by one warp; `before` becomes its rank among those with it.
__device__ inline unsigned find_digit(const int (&counts)[kDigits], int& before) {
  constexpr int kEach = kDigits / 32;
  const int lane = static_cast<int>(threadIdx.x % 32);
  int own = 0;
  for (int i = 0; i < kEach; ++i) own += counts[lane * kEach + i];
  int up_to = own;
  for (int step = 1; step < 32; step *= 2) {
    const int more = __shfl_up_sync(0xffffffffu, up_to, step);
    if (lane >= step) up_to += more;
  }
  const unsigned beyond = __ballot_sync(0xffffffffu, up_to > before);
  const int holder = __ffs(static_cast<int>(beyond)) - 1;
  int digit = lane * kEach, rest = before - (up_to - own);
  if (lane == holder)
    while (rest >= counts[digit]) rest -= counts[digit++];
  before = __shfl_sync(0xffffffffu, rest, holder);
  return static_cast<unsigned>(__shfl_sync(0xffffffffu, digit, holder));
}

/// Eight bits of the key, or behind all of these of the index.
struct Digit {
  bool of_key;
  int shift;
  explicit __device__ Digit(int place) : of_key(place >= 32), shift(of_key ? place - 32 : place) {}

  template <class Key>
  __device__ uint32_t of(Key key, uint32_t index) const {
    return (of_key ? static_cast<uint32_t>(key >> shift) : index >> shift) & (kDigits - 1);
  }
};

/// Counts the digits of a row's entries that fit the searches so far.
template <class T, class Key>
__device__ void count_digits(const T* x, uint32_t H, Digit digit, const Search<Key> (&search)[2],
                             int (&counts)[2][kDigits]) {
  for (int i = static_cast<int>(threadIdx.x); i < 2 * kDigits; i += kThreads)
    counts[i / kDigits][i % kDigits] = 0;
  __syncthreads();
  for (uint32_t j = threadIdx.x; j < H; j += kThreads) {
    const Key key = key_of(static_cast<accumulate_t<T>>(x[j]));
    for (int side = 0; side < 2; ++side) {
      const Key k = side == 0 ? static_cast<Key>(~key) : key;
      if (search[side].fits(k, j)) atomicAdd(&counts[side][digit.of(k, j)], 1);
    }
  }
  __syncthreads();
}

/// Takes each search's digit into it, a warp for each.
template <class Key>
__device__ void take_digits(Digit digit, const int (&counts)[2][kDigits],
                            Search<Key> (&search)[2]) {
  const auto side = threadIdx.x / 32;
  if (side < 2) {
    Search<Key> s = search[side];
    const unsigned found = find_digit(counts[side], s.before);
    if (digit.of_key) {
      s.key |= static_cast<Key>(found) << digit.shift;
      s.key_mask |= Key{255} << digit.shift;
    } else {
      s.index |= found << digit.shift;
      s.index_mask |= 255u << digit.shift;
    }
    if (threadIdx.x % 32 == 0) search[side] = s;
  }
  __syncthreads();
}

/// One row a block. Search 0 is for the largest: its keys are turned round.
template <class T>
__global__ void __launch_bounds__(kThreads) extremes_of_rows(NormProblem<T> a) {
  using Key = decltype(key_of(accumulate_t<T>{}));
  __shared__ int counts[2][kDigits];
  __shared__ Search<Key> search[2];
  const T* x = a.x + static_cast<int64_t>(blockIdx.x) * a.H;
  const auto H = static_cast<uint32_t>(a.H);
  if (threadIdx.x < 2) search[threadIdx.x] = {0, 0, 0, 0, static_cast<int>(a.clamp) - 1};
  // Digits of the key, then as many of the index as there are.
  for (int place = 8 * sizeof(Key) + 24; place >= 0; place -= 8) {
    const Digit digit(place);
    if (!digit.of_key && (H - 1) >> digit.shift == 0 && digit.shift > 0) continue;
    count_digits(x, H, digit, search, counts);
    take_digits(digit, counts, search);
  }
  if (threadIdx.x < 2)
    a.extremes[int64_t{2} * blockIdx.x + threadIdx.x] =
        static_cast<int32_t>(search[threadIdx.x].index);
}

}  // namespace

template <class T>
Failure find_extremes(const NormProblem<T>& a) {
  if (a.rows > INT32_MAX) return "more rows are clamped than a grid has blocks";
  return launch(extremes_of_rows<T>, static_cast<unsigned>(a.rows), kThreads, a);
}

template Failure find_extremes(const NormProblem<float>&);
template Failure find_extremes(const NormProblem<double>&);
template Failure find_extremes(const NormProblem<bfloat16>&);

}  // namespace normlab::cuda
