#include <cfloat>
#include <cmath>

#include "cuda/launch.h"
#include "cuda/row_reduce.h"
#include "optim/optim_cuda.h"

// Optimizers. Many small tensors are the usual case: pointers and lengths of all go to a kernel as
// its parameters, and a block finds the tensor that it works on by its number.

namespace normlab::cuda {
namespace {

using optim::AdamStep;
using optim::SgdStep;

constexpr int kThreads = 256;
constexpr int kChunk = 4 * kThreads;  ///< elements that a block works on at a time
constexpr int kMost = 80;             ///< tensors of a launch: parameters may take 4 KB
constexpr int64_t kMostSums = 256;    ///< blocks of a launch that sum squares

struct Gradient {
  void* g;
  int64_t n;
};

/// Tensors of one launch, cut into chunks.
template <class Tensor>
struct Batch {
  Tensor tensors[kMost];
  unsigned first[kMost + 1];  ///< each one's first chunk; all chunks
  int count;
  unsigned chunks() const { return first[count]; }
};
static_assert(sizeof(Batch<OptimTensor<double>>) + sizeof(AdamStep<double>) + 8 <= 4096);

/// Collects tensors until a launch is full, and launches what is left in the end.
template <class Tensor, class Launch>
class Batches {
 public:
  explicit Batches(const Launch& launch) : launch_(launch) {}

  void add(const Tensor& tensor) {
    if (tensor.n == 0) return;
    batch_.tensors[batch_.count] = tensor;
    batch_.first[batch_.count + 1] = batch_.first[batch_.count] + blocks_for(tensor.n, kChunk);
    if (++batch_.count == kMost) flush();
  }
  Failure finish() {
    if (batch_.count > 0) flush();
    return failure_;
  }

 private:
  void flush() {
    if (!failure_) failure_ = launch_(batch_);
    batch_ = {};
  }
  const Launch& launch_;
  Batch<Tensor> batch_{};
  Failure failure_ = nullptr;
};

/// Calls launch(batch) until all tensors have been in one.
template <class Tensor, class Launch>
Failure in_batches(const Tensor* tensors, int64_t count, const Launch& launch) {
  Batches<Tensor, Launch> batches(launch);
  for (int64_t i = 0; i < count; ++i) batches.add(tensors[i]);
  return batches.finish();
}

/// The gradients of one type only.
template <class T, class Launch>
Failure in_batches_of(const ClipTensor* tensors, int64_t count, const Launch& launch) {
  Batches<Gradient, Launch> batches(launch);
  for (int64_t i = 0; i < count; ++i)
    if (tensors[i].dtype == (sizeof(T) == 8 ? DType::float64 : DType::float32))
      batches.add({tensors[i].g, tensors[i].n});
  return batches.finish();
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

__device__ bool aligned(const void* p) {
  return reinterpret_cast<uintptr_t>(p) % 16 == 0;
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

/// Four elements from i on, each pointer aligned.
template <class Update>
__device__ void update_four(const Update& update, const OptimTensor<float>& t, int64_t i) {
  float4 w = *reinterpret_cast<const float4*>(t.w + i);
  const float4 g = *reinterpret_cast<const float4*>(t.g + i);
  float4 a{}, b{};
  if constexpr (Update::kFirst) a = *reinterpret_cast<const float4*>(t.first + i);
  if constexpr (Update::kSecond) b = *reinterpret_cast<const float4*>(t.second + i);
  update(w.x, g.x, a.x, b.x);
  update(w.y, g.y, a.y, b.y);
  update(w.z, g.z, a.z, b.z);
  update(w.w, g.w, a.w, b.w);
  *reinterpret_cast<float4*>(t.w + i) = w;
  if constexpr (Update::kFirst) *reinterpret_cast<float4*>(t.first + i) = a;
  if constexpr (Update::kSecond) *reinterpret_cast<float4*>(t.second + i) = b;
}

template <class Update, class T>
__device__ void update_one(const Update& update, const OptimTensor<T>& t, int64_t i) {
  T w = t.w[i], a = 0, b = 0;
  if constexpr (Update::kFirst) a = t.first[i];
  if constexpr (Update::kSecond) b = t.second[i];
  update(w, t.g[i], a, b);
  t.w[i] = w;
  if constexpr (Update::kFirst) t.first[i] = a;
  if constexpr (Update::kSecond) t.second[i] = b;
}

/// A block a chunk. Absent moments are null and thereby aligned. In float64, which is for tests,
/// elements go one by one.
template <class Update, class Step, class T>
__global__ void __launch_bounds__(kThreads)
    update_kernel(const __grid_constant__ Batch<OptimTensor<T>> batch, const Step step,
                  const Step* replayed) {
  const Update update{replayed ? *replayed : step};
  const int owner = owner_of(batch, blockIdx.x);
  const OptimTensor<T>& t = batch.tensors[owner];
  const int64_t begin = begin_of(batch, owner, blockIdx.x);
  if constexpr (sizeof(T) == 4) {
    if (begin + kChunk <= t.n && aligned(t.w) && aligned(t.g) && aligned(t.first) &&
        aligned(t.second)) {
      update_four(update, t, begin + 4 * threadIdx.x);
      return;
    }
  }
  const int64_t end = begin + kChunk < t.n ? begin + kChunk : t.n;
  for (int64_t i = begin + threadIdx.x; i < end; i += kThreads) update_one(update, t, i);
}

template <class Update, class Step, class T>
Failure update(const Step& step, const Step* replayed, const OptimTensor<T>* tensors,
               int64_t count) {
  return in_batches(tensors, count, [&](const Batch<OptimTensor<T>>& batch) {
    return launch(update_kernel<Update, Step, T>, batch.chunks(), kThreads, batch, step, replayed);
  });
}

template <class T>
Failure adam(const AdamStep<T>& step, const AdamStep<T>* replayed, const OptimTensor<T>* tensors,
             int64_t count) {
  return update<AdamUpdate<T>>(step, replayed, tensors, count);
}

template <class T>
Failure sgd(const SgdStep<T>& step, const SgdStep<T>* replayed, const OptimTensor<T>* tensors,
            int64_t count) {
  const bool momentum = count > 0 && tensors[0].first;
  return momentum ? update<MomentumUpdate<T>>(step, replayed, tensors, count)
                  : update<PlainUpdate<T>>(step, replayed, tensors, count);
}

// --- clipping -----------------------------------------------------------------------------------

/// parts[b]: the sum of the squares of chunks b, b + gridDim, ... The number of blocks depends on
/// the lengths alone: the same sums on every device.
template <class T>
__global__ void __launch_bounds__(kThreads)
    square_sum_kernel(const __grid_constant__ Batch<Gradient> batch, unsigned chunks,
                      double* parts) {
  __shared__ SharedReducer<double, kThreads, 1> reducer;
  double sum = 0;
  for (unsigned chunk = blockIdx.x; chunk < chunks; chunk += gridDim.x) {
    const int owner = owner_of(batch, chunk);
    const T* g = static_cast<const T*>(batch.tensors[owner].g);
    const int64_t n = batch.tensors[owner].n, begin = begin_of(batch, owner, chunk);
#pragma unroll
    for (int k = 0; k < kChunk / kThreads; ++k) {
      const int64_t i = begin + k * kThreads + threadIdx.x;
      const double x = i < n ? static_cast<double>(g[i]) : 0.0;
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

template <class T>
__global__ void __launch_bounds__(kThreads)
    scale_kernel(const __grid_constant__ Batch<Gradient> batch, double max_norm,
                 const double* norm) {
  const double length = *norm;
  if (!(length > max_norm && length <= DBL_MAX)) return;  // NaN too
  const T factor = static_cast<T>(max_norm / length);
  const int owner = owner_of(batch, blockIdx.x);
  T* g = static_cast<T*>(batch.tensors[owner].g);
  const int64_t n = batch.tensors[owner].n, begin = begin_of(batch, owner, blockIdx.x);
#pragma unroll
  for (int k = 0; k < kChunk / kThreads; ++k) {
    const int64_t i = begin + k * kThreads + threadIdx.x;
    if (i < n) g[i] *= factor;
  }
}

int64_t clip_parts(const ClipTensor*, int64_t count) {
  return (count / kMost + 2) * kMostSums;  // two types may each leave a batch that is not full
}

template <class T>
Failure sum_squares(const ClipTensor* tensors, int64_t count, double* parts, int64_t* used) {
  return in_batches_of<T>(tensors, count, [&](const Batch<Gradient>& batch) {
    const int64_t chunks = batch.chunks(), blocks = chunks < kMostSums ? chunks : kMostSums;
    double* own = parts + *used;
    *used += blocks;
    return launch(square_sum_kernel<T>, static_cast<unsigned>(blocks), kThreads, batch,
                  batch.chunks(), own);
  });
}

Failure clip(const ClipTensor* tensors, int64_t count, double max_norm, double* parts,
             double* norm) {
  int64_t used = 0;
  if (const Failure failure = sum_squares<float>(tensors, count, parts, &used)) return failure;
  if (const Failure failure = sum_squares<double>(tensors, count, parts, &used)) return failure;
  if (const Failure failure = launch(norm_kernel, 1, kThreads, parts, used, norm)) return failure;
  const auto scale = [&]<class T>(T) {
    return in_batches_of<T>(tensors, count, [&](const Batch<Gradient>& batch) {
      return launch(scale_kernel<T>, batch.chunks(), kThreads, batch, max_norm, norm);
    });
  };
  if (const Failure failure = scale(float{})) return failure;
  return scale(double{});
}

}  // namespace

const OptimFunctions optim_functions = {.float32 = {adam<float>, sgd<float>},
                                        .float64 = {adam<double>, sgd<double>},
                                        .clip_parts = clip_parts,
                                        .clip = clip};

}  // namespace normlab::cuda
