#include "ops/pool.h"

#include <algorithm>
#include <limits>

#include "core/dispatch.h"
#include "core/onednn.h"
#include "core/tensor_impl.h"
#include "cuda/library.h"
#include "ops/pool_cuda.h"
#include "ops/pool_padding.h"

namespace normlab {
namespace {

int64_t places(const char* op, const char* axis, int64_t n, int64_t kernel, int64_t stride,
               int64_t padding) {
  check<ArgumentError>(kernel >= 1, op, "kernel_", axis, " must be at least 1, got ", kernel);
  check<ArgumentError>(stride >= 1, op, "stride_", axis,
                       " must be at least 1, or 0 for the kernel's", ", got ", stride);
  // So every window holds an element of x.
  check<ArgumentError>(padding >= 0 && padding <= kernel / 2, op, "padding_", axis,
                       " must be in [0, ", kernel / 2, "], at most half of the window's ", kernel,
                       ", got ", padding);
  if (padding == 0)
    check(kernel <= n, op, "the window must fit into x, got ", kernel, " against ", n, " along ",
          axis);
  check(n > 0 && kernel - 2 * padding <= n, op, "the window must fit into the padded x, got ",
        kernel, " against ", n, " + 2 * ", padding, " along ", axis);
  return (n - (kernel - 2 * padding)) / stride + 1;
}

PoolShape shape_of(const char* op, const Tensor& x, const Pool2dOptions& o) {
  check<DtypeError>(is_floating(x.dtype()), op, "x must be float32 or float64, got ", x.dtype());
  check(x.rank() == 4, op, "x must be [N, C, H, W], got ", x.shape());
  PoolShape s;
  s.planes = x.size(0) * x.size(1);
  s.H = x.size(2);
  s.W = x.size(3);
  s.KH = o.kernel_h;
  s.KW = o.kernel_w;
  s.stride_h = o.stride_h != 0 ? o.stride_h : o.kernel_h;
  s.stride_w = o.stride_w != 0 ? o.stride_w : o.kernel_w;
  s.padding_h = o.padding_h;
  s.padding_w = o.padding_w;
  s.OH = places(op, "h", s.H, s.KH, s.stride_h, s.padding_h);
  s.OW = places(op, "w", s.W, s.KW, s.stride_w, s.padding_w);
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  check(std::max(s.padding_h, s.padding_w) < kMost &&
            s.H + 2 * s.padding_h <= kMost / (s.W + 2 * s.padding_w),
        op, "planes may have at most 2^31 - 1 elements, padding included, got x ", x.shape());
  s.divisor = o.count_include_pad ? s.KH * s.KW : 0;  // a window fits into such a plane
  return s;
}

const PoolKernels<float>& kernels(float) {
  return pool_f32_for_cpu();
}
const PoolKernels<double>& kernels(double) {
  return pool_f64_for_cpu();
}

/// Memory for a plane with its padding; none without.
template <class T>
onednn::Scratch padded_plane(const PoolShape& s) {
  const PoolShape p = padded_shape(s);
  return onednn::Scratch(s.padded() ? p.H * p.W * static_cast<int64_t>(sizeof(T)) : 0);
}

/// A plane as the kernels take it: itself, or a copy with `value` around it.
template <class T>
const T* with_padding(const PoolShape& s, const T* x, T value, T* padded) {
  if (!s.padded()) return x;
  pad_plane(s, x, value, padded);
  return padded;
}

/// Array that PoolShape::origin points to.
Tensor origins(PoolShape& s) {
  Tensor table = Tensor::empty({s.OH, s.OW}, DType::int32);
  int32_t* origin = table.data<int32_t>();
  for (int64_t i = 0; i < s.OH * s.OW; ++i)
    origin[i] = static_cast<int32_t>(i / s.OW * s.stride_h * s.W + i % s.OW * s.stride_w);
  s.origin = origin;
  return table;
}

/// Calls body(in, out) with the offsets of every plane of x and z.
template <class Body>
void for_planes(const char* op, const PoolShape& s, const Body& body) {
  const int64_t cost = s.OH * s.OW * s.KH * s.KW / 4 + 1;
  const auto plane = [&](int64_t i) { body(i * s.H * s.W, i * s.OH * s.OW); };
  if (s.padded())  // there may be no memory for a padded plane
    onednn::parallel_for(op, s.planes, cost, plane);
  else
    parallel_for(s.planes, cost, plane);
}

// --- on the GPU -------------------------------------------------------------------------------

/// x -> z or dz -> dx; winner only for max.
void run_on_gpu(const char* op, cuda::Failure (*function)(const cuda::PoolArgs&),
                const PoolShape& s, const Tensor& from, const Tensor& to, const Tensor& winner) {
  const cuda::PoolArgs args{.dtype = from.dtype(),
                            .shape = s,
                            .from = device_data(from),
                            .to = device_data(to),
                            .winner = device_data_or_null<int32_t>(winner)};
  cuda::call(op, function, args);
}

// --- on the CPU -------------------------------------------------------------------------------

template <class T>
void max_planes(const PoolShape& s, const PoolShape& of, const T* x, T* z, int32_t* winner) {
  for_planes("max_pool2d", s, [&](int64_t in, int64_t out) {
    const onednn::Scratch plane = padded_plane<T>(s);
    const T least = -std::numeric_limits<T>::infinity();
    kernels(T()).max(of, with_padding(s, x + in, least, plane.as<T>()), z + out, winner + out);
    if (s.padded()) cut_winners(s, winner + out);
  });
}

Tensor max_forward(const PoolShape& s, const Tensor& x, Tensor& z) {
  if (x.device() == Device::cuda) {
    Tensor winner = Tensor::empty(z.shape(), DType::int32, Device::cuda);
    run_on_gpu("max_pool2d", cuda::backend().pool->max, s, x, z, winner);
    return winner;
  }
  PoolShape of = padded_shape(s);
  const Tensor table = origins(of);
  Tensor winner = Tensor::empty(z.shape(), DType::int32);
  dispatch_floating("max_pool2d", x.dtype(), [&]<class T>() {
    max_planes(s, of, x.data<T>(), z.data<T>(), winner.data<int32_t>());
  });
  return winner;
}

Tensor max_backward(const PoolShape& s, const Tensor& dz, const Tensor& winner,
                    const Shape& shape) {
  Tensor dx = Tensor::empty(shape, dz.dtype(), dz.device());
  if (dx.device() == Device::cuda) {
    run_on_gpu("max_pool2d", cuda::backend().pool->max_backward, s, dz, dx, winner);
    return dx;
  }
  dispatch_floating("max_pool2d", dz.dtype(), [&]<class T>() {
    for_planes("max_pool2d", s,
               [&, from = dz.data<T>(), to = dx.data<T>(), w = winner.data<int32_t>()](
                   int64_t in, int64_t out) {
                 kernels(T()).max_backward(s, from + out, w + out, to + in);
               });
  });
  return dx;
}

template <class T>
void mean_forward(const PoolShape& s, const Tensor& x, Tensor& z) {
  if (x.device() == Device::cuda)
    return run_on_gpu("avg_pool2d", cuda::backend().pool->mean, s, x, z, {});
  PoolShape of = padded_shape(s);
  const Tensor table = origins(of);
  for_planes("avg_pool2d", s, [&, from = x.data<T>(), to = z.data<T>()](int64_t in, int64_t out) {
    const onednn::Scratch plane = padded_plane<T>(s);
    kernels(T()).mean(of, with_padding(s, from + in, T(0), plane.as<T>()), to + out);
    if (s.divisor == 0) divide_by_counts(s, to + out);
  });
}

template <class T>
Tensor mean_backward(const PoolShape& s, const Tensor& dz, const Shape& shape) {
  Tensor dx = Tensor::empty(shape, dz.dtype(), dz.device());
  if (dx.device() == Device::cuda) {
    run_on_gpu("avg_pool2d", cuda::backend().pool->mean_backward, s, dz, dx, {});
    return dx;
  }
  Tensor g = s.divisor == 0 ? dz.detach().clone() : dz;
  for_planes("avg_pool2d", s, [&, from = g.data<T>(), to = dx.data<T>()](int64_t in, int64_t out) {
    if (s.divisor == 0) divide_by_counts(s, from + out);  // as forward did
    kernels(T()).mean_backward(s, from + out, to + in);
  });
  return dx;
}

}  // namespace

Tensor max_pool2d(const Tensor& x, const Pool2dOptions& options) {
  check<ArgumentError>(options.count_include_pad, "max_pool2d",
                       "count_include_pad is an option of avg_pool2d");
  const PoolShape s = shape_of("max_pool2d", x, options);
  Tensor z = Tensor::empty({x.size(0), x.size(1), s.OH, s.OW}, x.dtype(), x.device());
  const Tensor winner = max_forward(s, x, z);
  return record("max_pool2d", std::move(z), {x},
                [s, winner, shape = x.shape()](const Tensor& dz, Needs) -> Grads {
                  return {max_backward(s, dz, winner, shape)};
                });
}

Tensor avg_pool2d(const Tensor& x, const Pool2dOptions& options) {
  const PoolShape s = shape_of("avg_pool2d", x, options);
  return dispatch_floating("avg_pool2d", x.dtype(), [&]<class T>() {
    Tensor z = Tensor::empty({x.size(0), x.size(1), s.OH, s.OW}, x.dtype(), x.device());
    mean_forward<T>(s, x, z);
    return record("avg_pool2d", std::move(z), {x},
                  [s, shape = x.shape()](const Tensor& dz, Needs) -> Grads {
                    return {mean_backward<T>(s, dz, shape)};
                  });
  });
}

}  // namespace normlab
