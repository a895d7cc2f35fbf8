#include <cfloat>
#include <cmath>

#include "cuda/elements.h"
#include "cuda/row_reduce.h"
#include "optim/optim_cuda.h"

// Optimizers. Many small tensors are the usual case: pointers and lengths of all go to a kernel as
// its parameters, and a block finds the tensor that it works on by its number.

namespace normlab::cuda {
namespace {

using optim::AdamStep;
using optim::Parameter;
using optim::SgdStep;

constexpr int kThreads = 256;
constexpr int kChunk = 4 * kThreads;  ///< elements that a block works on at a time
constexpr int kMost = 80;             ///< tensors of a launch: parameters may take 4 KB
constexpr int64_t kMostSums = 256;    ///< blocks of a launch that sum squares

/// Tensors of one launch, cut into chunks.
template <class Tensor>
struct Batch {
  Tensor tensors[kMost];
  unsigned first[kMost + 1];  ///< each one's first chunk; all chunks
  int count;
  __host__ __device__ unsigned chunks() const { return first[count]; }
};
static_assert(sizeof(Batch<Parameter<double>>) + sizeof(AdamStep<double>) + 8 <= 4096);

/// Calls launch(batch) until all tensors have been in one.
template <class Tensor, class Launch>
Failure in_batches(const Tensor* tensors, int64_t count, const Launch& launch) {
  Batch<Tensor> batch{};
  for (int64_t i = 0; i < count; ++i) {
    if (tensors[i].n > 0) {
      batch.tensors[batch.count] = tensors[i];
      batch.first[batch.count + 1] = batch.first[batch.count] + blocks_for(tensors[i].n, kChunk);
      ++batch.count;
    }
    if (batch.count == 0 || (batch.count < kMost && i + 1 < count)) continue;
    if (const Failure failure = launch(batch)) return failure;
    batch = {};
  }
  return nullptr;
}

// --- where a block works ------------------------------------------------------------------------

/// The tensor that a chunk belongs to: the last that begins there or before.
template <class Tensor>
__device__ int owner_of(const Batch<Tensor>& batch, unsigned chunk) {
  int low = 0, high = batch.count - 1;
  while (low < high) {
    const int middle = (low + high + 1) / 2;
    if (batch.first[middle] <= chunk)
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}

template <class Tensor>
__device__ int64_t begin_of(const Batch<Tensor>& batch, int owner, unsigned chunk) {
  return static_cast<int64_t>(chunk - batch.first[owner]) * kChunk;
}

// --- updates ------------------------------------------------------------------------------------

template <class T>
struct AdamUpdate {
  AdamStep<T> s;
  static constexpr bool kFirst = true, kSecond = true;
  __device__ void operator()(T& w, T g, T& avg, T& sq) const {
    const T d = g + s.l2 * w;
    avg = avg + s.rate1 * (d - avg);
    sq = s.beta2 * sq + s.rate2 * (d * d);
    w = s.keep * w - s.size * avg / (sqrt(sq) * s.root + s.eps);
  }
};

template <class T>
struct MomentumUpdate {
  SgdStep<T> s;
  static constexpr bool kFirst = true, kSecond = false;
  __device__ void operator()(T& w, T g, T& velocity, T&) const {
    const T d = g + s.l2 * w;
    velocity = s.momentum * velocity + d;
    w -= s.lr * (s.nesterov ? d + s.momentum * velocity : velocity);
  }
};

template <class T>
struct PlainUpdate {
  SgdStep<T> s;
  static constexpr bool kFirst = false, kSecond = false;
  __device__ void operator()(T& w, T g, T&, T&) const { w -= s.lr * (g + s.l2 * w); }
};

/// V elements from i on.
template <int V, class Update, class T>
__device__ void update_at(const Update& update, const Parameter<T>& p, int64_t i) {
  using Vector = Pack<T, V>;
  auto* w = reinterpret_cast<Vector*>(p.w + i);
  auto *first = reinterpret_cast<Vector*>(p.first + i),
       *second = reinterpret_cast<Vector*>(p.second + i);
  Vector now = *w, a{}, b{};
  const Vector g = *reinterpret_cast<const Vector*>(p.g + i);
  if constexpr (Update::kFirst) a = *first;
  if constexpr (Update::kSecond) b = *second;
#pragma unroll
  for (int k = 0; k < V; ++k) update(now.of[k], g.of[k], a.of[k], b.of[k]);
  *w = now;
  if constexpr (Update::kFirst) *first = a;
  if constexpr (Update::kSecond) *second = b;
}

/// A block a chunk. Absent moments are null and thereby aligned.
template <class Update, class Step, class T>
__global__ void __launch_bounds__(kThreads)
    update_kernel(const __grid_constant__ Batch<Parameter<T>> batch, const Step step,
                  const Step* replayed) {
  constexpr int V = 16 / sizeof(T);
  const Update update{replayed ? *replayed : step};
  const int owner = owner_of(batch, blockIdx.x);
  const Parameter<T>& p = batch.tensors[owner];
  const int64_t begin = begin_of(batch, owner, blockIdx.x);
  if (begin + kChunk <= p.n && aligned_for(V, p.w) && aligned_for(V, p.g) &&
      aligned_for(V, p.first) && aligned_for(V, p.second)) {
#pragma unroll
    for (int k = 0; k < kChunk; k += V * kThreads)
      update_at<V>(update, p, begin + k + V * threadIdx.x);
    return;
  }
  const int64_t end = begin + kChunk < p.n ? begin + kChunk : p.n;
  for (int64_t i = begin + threadIdx.x; i < end; i += kThreads) update_at<1>(update, p, i);
}

template <class Update, class Step, class T>
Failure update(const Step& step, const Step* replayed, const Parameter<T>* tensors, int64_t count) {
  return in_batches(tensors, count, [&](const Batch<Parameter<T>>& batch) {
    return launch(update_kernel<Update, Step, T>, batch.chunks(), kThreads, batch, step, replayed);
  });
}

template <class T>
Failure adam(const AdamStep<T>& step, const AdamStep<T>* replayed, const Parameter<T>* tensors,
             int64_t count) {
  return update<AdamUpdate<T>>(step, replayed, tensors, count);
}

template <class T>
Failure sgd(const SgdStep<T>& step, const SgdStep<T>* replayed, const Parameter<T>* tensors,
            int64_t count) {
  const bool momentum = count > 0 && tensors[0].first;
  return momentum ? update<MomentumUpdate<T>>(step, replayed, tensors, count)
                  : update<PlainUpdate<T>>(step, replayed, tensors, count);
}

// --- clipping -----------------------------------------------------------------------------------

__device__ double element(const ClipTensor& t, int64_t i) {
  return t.dtype == DType::float64 ? static_cast<const double*>(t.g)[i]
                                   : static_cast<double>(static_cast<const float*>(t.g)[i]);
}

/// parts[b]: the sum of the squares of chunks b, b + gridDim, ... The number of blocks depends on
/// the lengths alone: the same sums on every device.
__global__ void __launch_bounds__(kThreads)
    square_sum_kernel(const __grid_constant__ Batch<ClipTensor> batch, double* parts) {
  __shared__ SharedReducer<double, kThreads, 1> reducer;
  double sum = 0;
  for (unsigned chunk = blockIdx.x; chunk < batch.chunks(); chunk += gridDim.x) {
    const int owner = owner_of(batch, chunk);
    const ClipTensor& t = batch.tensors[owner];
    const int64_t begin = begin_of(batch, owner, chunk);
#pragma unroll
    for (int k = 0; k < kChunk / kThreads; ++k) {
      const int64_t i = begin + k * kThreads + threadIdx.x;
      const double x = i < t.n ? element(t, i) : 0.0;
      sum += x * x;
    }
  }
  const double total = reducer.sum(sum);
  if (threadIdx.x == 0) parts[blockIdx.x] = total;
}

/// One block.
__global__ void __launch_bounds__(kThreads)
    norm_kernel(const double* parts, int64_t count, double* norm) {
  __shared__ SharedReducer<double, kThreads, 1> reducer;
  double sum = 0;
  for (int64_t i = threadIdx.x; i < count; i += kThreads) sum += parts[i];
  const double total = reducer.sum(sum);
  if (threadIdx.x == 0) *norm = sqrt(total);
}

__global__ void __launch_bounds__(kThreads)
    scale_kernel(const __grid_constant__ Batch<ClipTensor> batch, double max_norm,
                 const double* norm) {
  const double length = *norm, factor = max_norm / length;
  if (!(length > max_norm && length <= DBL_MAX)) return;  // NaN too
  const int owner = owner_of(batch, blockIdx.x);
  const ClipTensor& t = batch.tensors[owner];
  const int64_t begin = begin_of(batch, owner, blockIdx.x);
#pragma unroll
  for (int k = 0; k < kChunk / kThreads; ++k) {
    const int64_t i = begin + k * kThreads + threadIdx.x;
    if (i >= t.n) continue;
    if (t.dtype == DType::float64)
      static_cast<double*>(t.g)[i] *= factor;
    else
      static_cast<float*>(t.g)[i] *= static_cast<float>(factor);
  }
}

int64_t clip_parts(int64_t count) {
  return (count / kMost + 1) * kMostSums;
}

Failure clip(const ClipTensor* tensors, int64_t count, double max_norm, double* parts,
             double* norm) {
  int64_t used = 0;
  Failure failure = in_batches(tensors, count, [&](const Batch<ClipTensor>& batch) {
    const int64_t chunks = batch.chunks(), blocks = chunks < kMostSums ? chunks : kMostSums;
    double* own = parts + used;
    used += blocks;
    return launch(square_sum_kernel, static_cast<unsigned>(blocks), kThreads, batch, own);
  });
  if (!failure) failure = launch(norm_kernel, 1, kThreads, parts, used, norm);
  if (failure) return failure;
  return in_batches(tensors, count, [&](const Batch<ClipTensor>& batch) {
    return launch(scale_kernel, batch.chunks(), kThreads, batch, max_norm, norm);
  });
}

}  // namespace

const OptimFunctions optim_functions = {
    .update = {.float32 = {adam<float>, sgd<float>}, .float64 = {adam<double>, sgd<double>}},
    .clip_parts = clip_parts,
    .clip = clip};

}  // namespace normlab::cuda
