#include "ops/softmax.h"

#include <numeric>

#include "core/dispatch.h"
#include "core/tensor_impl.h"
#include "cuda/library.h"
#include "normlab/ops.h"
#include "ops/softmax_cuda.h"

namespace normlab {
namespace {

Tensor forward(const char* op, const Tensor& x, int64_t rows, int64_t n, bool log) {
  Tensor z = Tensor::empty(x.shape(), x.dtype(), x.device());
  if (x.device() == Device::cuda) {
    cuda::call(op, cuda::backend().softmax->forward, x.dtype(), device_data(x), rows, n, log,
               device_data(z));
    return z;
  }
  dispatch_floating(op, x.dtype(), [&]<class T>() {
    if constexpr (std::is_same_v<T, float>)
      softmax_kernels_for_cpu().forward(x.data<T>(), rows, n, log, z.data<T>());
    else
      reference::softmax(x.data<T>(), rows, n, log, z.data<T>());
  });
  return z;
}

Tensor backward(const char* op, const Tensor& z, const Tensor& dz, int64_t rows, int64_t n,
                bool log) {
  Tensor dx = Tensor::empty(z.shape(), z.dtype(), z.device());
  if (z.device() == Device::cuda) {
    cuda::call(op, cuda::backend().softmax->backward, z.dtype(), device_data(z), device_data(dz),
               rows, n, log, device_data(dx));
    return dx;
  }
  dispatch_floating(op, z.dtype(), [&]<class T>() {
    const T *from = z.data<T>(), *g = dz.data<T>();
    if constexpr (std::is_same_v<T, float>)
      softmax_kernels_for_cpu().backward(from, g, rows, n, log, dx.data<T>());
    else
      reference::softmax_backward(from, g, rows, n, log, dx.data<T>());
  });
  return dx;
}

Tensor over_last_axis(const char* op, const Tensor& x, bool log) {
  const int64_t n = x.size(-1), rows = x.shape().numel(0, x.rank() - 1);
  const Tensor z = forward(op, x, rows, n, log);
  return record(op, z, {x}, [op, saved = Saved(z), rows, n, log](const Tensor& dz, Needs) -> Grads {
    return {backward(op, saved.get(), dz, rows, n, log)};
  });
}

Tensor over_axis(const char* op, const Tensor& x, int axis, bool log) {
  check_carries_gradient(op, "x", x);
  if (is_stored_only(x)) return over_axis(op, x.to(DType::float32), axis, log).to(DType::bfloat16);
  if (x.rank() == 0 && (axis == 0 || axis == -1))  // as of a reduction
    return over_last_axis(op, x.reshape({1}), log).reshape({});
  const int a = x.shape().wrap(axis, op);
  if (a == x.rank() - 1) return over_last_axis(op, x, log);
  std::vector<int> swap(x.rank());
  std::iota(swap.begin(), swap.end(), 0);
  std::swap(swap[a], swap.back());
  return transpose(over_last_axis(op, transpose(x, swap), log), swap);
}

}  // namespace

Tensor softmax(const Tensor& x, int axis) {
  return over_axis("softmax", x, axis, false);
}

Tensor log_softmax(const Tensor& x, int axis) {
  return over_axis("log_softmax", x, axis, true);
}

}  // namespace normlab
