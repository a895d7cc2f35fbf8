#include "ops/pool_cuda.h"

#include "cuda/elements.h"

// Pooling: one result a thread; backward, one input a thread, which gathers from the windows that
// cover it.

namespace normlab::cuda {
namespace {

__host__ __device__ int64_t results(const PoolShape& s) {
  return s.planes * s.OH * s.OW;
}
__host__ __device__ int64_t inputs(const PoolShape& s) {
  return s.planes * s.H * s.W;
}

/// One element of planes of H x W.
struct Spot {
  int64_t plane, y, x;
};
inline __device__ Spot spot_of(int64_t i, int64_t H, int64_t W) {
  const int64_t row = divide(i, W), plane = divide(row, H);
  return {plane, row - plane * H, i - row * W};
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
__global__ void __launch_bounds__(kElementThreads) max_kernel(PoolArgs a) {
  const PoolShape& s = a.shape;
  for (int64_t i = element_index(); i < results(s); i += element_step()) {
    const Spot at = spot_of(i, s.OH, s.OW);
    const T* plane = static_cast<const T*>(a.from) + at.plane * s.H * s.W;
    const Window window(s, at.y, at.x);
    int64_t place = window.rows.begin * s.W + window.columns.begin;
    T best = plane[place];
    window.each(s, [&](int64_t here) {
      const T value = plane[here];
      const bool wins = value > best || value != value;
      best = wins ? value : best;
      place = wins ? here : place;
    });
    static_cast<T*>(a.to)[i] = best;
    a.winner[i] = static_cast<int32_t>(place);
  }
}

/// The windows of one axis that cover a place, counted with the padding before it: [begin, end).
inline __device__ Extent cover_of(int64_t place, int64_t kernel, int64_t stride, int64_t outputs) {
  const int64_t begin = place < kernel ? 0 : divide(place - kernel, stride) + 1;
  const int64_t end = divide(place, stride) + 1;
  return {begin, end < outputs ? end : outputs};
}

/// dx[i] = the sum of gradient(window, place, y, x) over the windows that cover it.
template <class T, class Of>
__device__ void gather(const PoolArgs& a, const Of& gradient) {
  const PoolShape& s = a.shape;
  for (int64_t i = element_index(); i < inputs(s); i += element_step()) {
    const Spot at = spot_of(i, s.H, s.W);
    const Extent rows = cover_of(at.y + s.padding_h, s.KH, s.stride_h, s.OH);
    const Extent columns = cover_of(at.x + s.padding_w, s.KW, s.stride_w, s.OW);
    T sum = 0;
    for (int64_t y = rows.begin; y < rows.end; ++y)
      for (int64_t x = columns.begin; x < columns.end; ++x)
        sum += gradient((at.plane * s.OH + y) * s.OW + x, at.y * s.W + at.x, y, x);
    static_cast<T*>(a.to)[i] = sum;
  }
}

template <class T>
__global__ void __launch_bounds__(kElementThreads) max_backward_kernel(PoolArgs a) {
  gather<T>(a, [&](int64_t window, int64_t place, int64_t, int64_t) {
    return a.winner[window] == place ? static_cast<const T*>(a.from)[window] : T(0);
  });
}

template <class T>
__global__ void __launch_bounds__(kElementThreads) mean_kernel(PoolArgs a) {
  const PoolShape& s = a.shape;
  const T scale = T(1) / static_cast<T>(s.divisor > 0 ? s.divisor : 1);
  for (int64_t i = element_index(); i < results(s); i += element_step()) {
    const Spot at = spot_of(i, s.OH, s.OW);
    const T* plane = static_cast<const T*>(a.from) + at.plane * s.H * s.W;
    const Window window(s, at.y, at.x);
    T sum = 0;
    window.each(s, [&](int64_t here) { sum += plane[here]; });
    static_cast<T*>(a.to)[i] = s.divisor > 0 ? sum * scale : sum / static_cast<T>(window.count());
  }
}

template <class T>
__global__ void __launch_bounds__(kElementThreads) mean_backward_kernel(PoolArgs a) {
  const PoolShape& s = a.shape;
  const T* dz = static_cast<const T*>(a.from);
  const T scale = T(1) / static_cast<T>(s.divisor > 0 ? s.divisor : 1);
  gather<T>(a, [&](int64_t window, int64_t, int64_t y, int64_t x) {
    if (s.divisor > 0) return scale * dz[window];
    return dz[window] / static_cast<T>(Window(s, y, x).count());
  });
}

Failure over(int64_t n, void (*kernel)(PoolArgs), const PoolArgs& a) {
  return n == 0 ? nullptr : launch(kernel, element_blocks(n), kElementThreads, a);
}

Failure max(const PoolArgs& a) {
  return for_floating(a.dtype, [&]<class T>() { return over(results(a.shape), max_kernel<T>, a); });
}
Failure max_backward(const PoolArgs& a) {
  return for_floating(a.dtype,
                      [&]<class T>() { return over(inputs(a.shape), max_backward_kernel<T>, a); });
}
Failure mean(const PoolArgs& a) {
  return for_floating(a.dtype,
                      [&]<class T>() { return over(results(a.shape), mean_kernel<T>, a); });
}
Failure mean_backward(const PoolArgs& a) {
  return for_floating(a.dtype,
                      [&]<class T>() { return over(inputs(a.shape), mean_backward_kernel<T>, a); });
}

}  // namespace

const PoolFunctions pool_functions = {
    .max = max, .max_backward = max_backward, .mean = mean, .mean_backward = mean_backward};

}  // namespace normlab::cuda
