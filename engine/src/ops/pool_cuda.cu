#include "ops/pool_cuda.h"

#include "backend/cuda/tile_product.h"

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

/// A later element wins only if it is greater or NaN: so the first of equals does.
template <class T>
__global__ void max_kernel(PoolShape s, const T* x, T* z, int32_t* winner) {
  for_elements(s.planes * s.OH * s.OW, [&](int64_t i) {
    const Spot at = spot_of(i, s.OH, s.OW);
    const T* plane = x + at.plane * s.H * s.W;
    const int64_t first = at.y * s.stride_h * s.W + at.x * s.stride_w;
    int64_t place = first;
    T best = plane[first];
    for (int64_t ky = 0; ky < s.KH; ++ky)
      for (int64_t kx = 0; kx < s.KW; ++kx) {
        const int64_t here = first + ky * s.W + kx;
        const T value = plane[here];
        const bool wins = value > best || value != value;
        best = wins ? value : best;
        place = wins ? here : place;
      }
    z[i] = best;
    winner[i] = static_cast<int32_t>(place);
  });
}

/// The windows of one axis that cover a place: [begin, end).
struct Cover {
  int64_t begin, end;
};
inline __device__ Cover cover_of(int64_t place, int64_t kernel, int64_t stride, int64_t outputs) {
  const int64_t begin = place < kernel ? 0 : divide(place - kernel, stride) + 1;
  const int64_t end = divide(place, stride) + 1;
  return {begin, end < outputs ? end : outputs};
}

/// dx[i] = the sum of gradient(window) over the windows that cover it.
template <class T, class Of>
__device__ void gather(const PoolShape& s, T* dx, const Of& gradient) {
  for_elements(s.planes * s.H * s.W, [&](int64_t i) {
    const Spot at = spot_of(i, s.H, s.W);
    const Cover rows = cover_of(at.y, s.KH, s.stride_h, s.OH);
    const Cover columns = cover_of(at.x, s.KW, s.stride_w, s.OW);
    T sum = 0;
    for (int64_t y = rows.begin; y < rows.end; ++y)
      for (int64_t x = columns.begin; x < columns.end; ++x)
        sum += gradient((at.plane * s.OH + y) * s.OW + x, at.y * s.W + at.x);
    dx[i] = sum;
  });
}

template <class T>
__global__ void max_backward_kernel(PoolShape s, const T* dz, const int32_t* winner, T* dx) {
  gather(s, dx, [&](int64_t window, int64_t place) {
    return winner[window] == place ? dz[window] : T(0);
  });
}

template <class T>
__global__ void mean_kernel(PoolShape s, const T* x, T* z) {
  const T scale = T(1) / static_cast<T>(s.KH * s.KW);
  for_elements(s.planes * s.OH * s.OW, [&](int64_t i) {
    const Spot at = spot_of(i, s.OH, s.OW);
    const T* from = x + at.plane * s.H * s.W + at.y * s.stride_h * s.W + at.x * s.stride_w;
    T sum = 0;
    for (int64_t ky = 0; ky < s.KH; ++ky)
      for (int64_t kx = 0; kx < s.KW; ++kx) sum += from[ky * s.W + kx];
    z[i] = sum * scale;
  });
}

template <class T>
__global__ void mean_backward_kernel(PoolShape s, const T* dz, T* dx) {
  const T scale = T(1) / static_cast<T>(s.KH * s.KW);
  gather(s, dx, [&](int64_t window, int64_t) { return scale * dz[window]; });
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
