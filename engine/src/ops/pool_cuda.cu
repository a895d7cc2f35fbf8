#include "ops/pool_cuda.h"

#include "cuda/tile_product.h"
#include "ops/conv_cuda.h"

// Pooling: one result a thread; backward, one input a thread, which gathers from the windows that
// cover it.

namespace normlab::cuda {
namespace {

constexpr int kPoolThreads = 256;

/// One element of planes of H x W.
struct Spot {
  int64_t plane, y, x;
};
inline __device__ Spot spot_of(int64_t i, int64_t H, int64_t W) {
  const int64_t row = divide(i, W), plane = divide(row, H);
  return {plane, row - plane * H, i - row * W};
}

/// Calls body(i) for this thread's share of n elements.
template <class Body>
__device__ void for_elements(int64_t n, const Body& body) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += step)
    body(i);
}

/// The window of result row or column `at` along one axis, without its padding: [begin, end).
struct Extent {
  int64_t begin, end;
};
inline __device__ Extent extent_of(int64_t at, int64_t kernel, int64_t stride, int64_t padding,
                                   int64_t n) {
  const int64_t begin = at * stride - padding, end = begin + kernel;
  return {begin > 0 ? begin : 0, end < n ? end : n};
}

/// Both axes of a window.
struct Window {
  Extent rows, columns;
  __device__ Window(const PoolShape& s, int64_t y, int64_t x)
      : rows(extent_of(y, s.KH, s.stride_h, s.padding_h, s.H)),
        columns(extent_of(x, s.KW, s.stride_w, s.padding_w, s.W)) {}

  /// Calls body(place) for each of its elements, places in a plane.
  template <class Body>
  __device__ void each(const PoolShape& s, const Body& body) const {
    for (int64_t y = rows.begin; y < rows.end; ++y)
      for (int64_t x = columns.begin; x < columns.end; ++x) body(y * s.W + x);
  }
  __device__ int64_t count() const {
    return (rows.end - rows.begin) * (columns.end - columns.begin);
  }
};

/// A later element wins only if it is greater or NaN: so the first of equals does.
template <class T>
__global__ void max_kernel(PoolShape s, const T* x, T* z, int32_t* winner) {
  for_elements(s.planes * s.OH * s.OW, [&](int64_t i) {
    const Spot at = spot_of(i, s.OH, s.OW);
    const T* plane = x + at.plane * s.H * s.W;
    const Window window(s, at.y, at.x);
    int64_t place = window.rows.begin * s.W + window.columns.begin;
    T best = plane[place];
    window.each(s, [&](int64_t here) {
      const T value = plane[here];
      const bool wins = value > best || value != value;
      best = wins ? value : best;
      place = wins ? here : place;
    });
    z[i] = best;
    winner[i] = static_cast<int32_t>(place);
  });
}

/// The windows of one axis that cover a place, counted with the padding before it: [begin, end).
inline __device__ Extent cover_of(int64_t place, int64_t kernel, int64_t stride, int64_t outputs) {
  const int64_t begin = place < kernel ? 0 : divide(place - kernel, stride) + 1;
  const int64_t end = divide(place, stride) + 1;
  return {begin, end < outputs ? end : outputs};
}

/// dx[i] = the sum of gradient(window, place, y, x) over the windows that cover it.
template <class T, class Of>
__device__ void gather(const PoolShape& s, T* dx, const Of& gradient) {
  for_elements(s.planes * s.H * s.W, [&](int64_t i) {
    const Spot at = spot_of(i, s.H, s.W);
    const Extent rows = cover_of(at.y + s.padding_h, s.KH, s.stride_h, s.OH);
    const Extent columns = cover_of(at.x + s.padding_w, s.KW, s.stride_w, s.OW);
    T sum = 0;
    for (int64_t y = rows.begin; y < rows.end; ++y)
      for (int64_t x = columns.begin; x < columns.end; ++x)
        sum += gradient((at.plane * s.OH + y) * s.OW + x, at.y * s.W + at.x, y, x);
    dx[i] = sum;
  });
}

template <class T>
__global__ void max_backward_kernel(PoolShape s, const T* dz, const int32_t* winner, T* dx) {
  gather(s, dx, [&](int64_t window, int64_t place, int64_t, int64_t) {
    return winner[window] == place ? dz[window] : T(0);
  });
}

template <class T>
__global__ void mean_kernel(PoolShape s, const T* x, T* z) {
  const T scale = T(1) / static_cast<T>(s.divisor > 0 ? s.divisor : 1);
  for_elements(s.planes * s.OH * s.OW, [&](int64_t i) {
    const Spot at = spot_of(i, s.OH, s.OW);
    const T* plane = x + at.plane * s.H * s.W;
    const Window window(s, at.y, at.x);
    T sum = 0;
    window.each(s, [&](int64_t here) { sum += plane[here]; });
    z[i] = s.divisor > 0 ? sum * scale : sum / static_cast<T>(window.count());
  });
}

template <class T>
__global__ void mean_backward_kernel(PoolShape s, const T* dz, T* dx) {
  const T scale = T(1) / static_cast<T>(s.divisor > 0 ? s.divisor : 1);
  gather(s, dx, [&](int64_t window, int64_t, int64_t y, int64_t x) {
    if (s.divisor > 0) return scale * dz[window];
    return dz[window] / static_cast<T>(Window(s, y, x).count());
  });
}

unsigned pool_blocks(int64_t n) {
  constexpr int64_t kMost = 1 << 20;
  return blocks_for(n < kMost * kPoolThreads ? n : kMost * kPoolThreads, kPoolThreads);
}
int64_t results(const PoolShape& s) {
  return s.planes * s.OH * s.OW;
}
int64_t inputs(const PoolShape& s) {
  return s.planes * s.H * s.W;
}

}  // namespace

Failure max_pool(const PoolArgs& a) {
  if (results(a.shape) == 0) return nullptr;
  return for_floating(a.dtype, [&]<class T>() {
    return launch(max_kernel<T>, pool_blocks(results(a.shape)), kPoolThreads, a.shape,
                  static_cast<const T*>(a.x), static_cast<T*>(a.z), a.winner);
  });
}

Failure max_pool_backward(const PoolArgs& a) {
  if (inputs(a.shape) == 0) return nullptr;
  return for_floating(a.dtype, [&]<class T>() {
    return launch(max_backward_kernel<T>, pool_blocks(inputs(a.shape)), kPoolThreads, a.shape,
                  static_cast<const T*>(a.dz), a.winner, static_cast<T*>(a.dx));
  });
}

Failure avg_pool(const PoolArgs& a) {
  if (results(a.shape) == 0) return nullptr;
  return for_floating(a.dtype, [&]<class T>() {
    return launch(mean_kernel<T>, pool_blocks(results(a.shape)), kPoolThreads, a.shape,
                  static_cast<const T*>(a.x), static_cast<T*>(a.z));
  });
}

Failure avg_pool_backward(const PoolArgs& a) {
  if (inputs(a.shape) == 0) return nullptr;
  return for_floating(a.dtype, [&]<class T>() {
    return launch(mean_backward_kernel<T>, pool_blocks(inputs(a.shape)), kPoolThreads, a.shape,
                  static_cast<const T*>(a.dz), static_cast<T*>(a.dx));
  });
}

}  // namespace normlab::cuda
