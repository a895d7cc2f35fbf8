#include "ops/softmax.h"

#include <numeric>

#include "core/dispatch.h"
#include "normlab/ops.h"
#include "ops/axis.h"

namespace normlab {
namespace {

Tensor over_last_axis(const char* op, const Tensor& x, bool log) {
  const int64_t n = x.size(-1), rows = x.shape().numel(0, x.rank() - 1);
  Tensor z = Tensor::empty(x.shape(), x.dtype());
  dispatch_floating(op, x.dtype(), [&]<class T>() {
    if constexpr (std::is_same_v<T, float>)
      softmax_kernels_for_cpu().forward(x.data<T>(), rows, n, log, z.data<T>());
    else
      reference::softmax(x.data<T>(), rows, n, log, z.data<T>());
  });
  return record(op, z, {x}, [saved = Saved(z), rows, n, log](const Tensor& dz, Needs) -> Grads {
    const Tensor& z = saved.get();
    Tensor dx = Tensor::empty(z.shape(), z.dtype());
    dispatch_floating("softmax", z.dtype(), [&]<class T>() {
      const T *from = z.data<T>(), *g = dz.data<T>();
      if constexpr (std::is_same_v<T, float>)
        softmax_kernels_for_cpu().backward(from, g, rows, n, log, dx.data<T>());
      else
        reference::softmax_backward(from, g, rows, n, log, dx.data<T>());
    });
    return {dx};
  });
}

Tensor over_axis(const char* op, const Tensor& x, int axis, bool log) {
  check<DtypeError>(is_floating(x.dtype()), op, "x must be float32 or float64, got ", x.dtype());
  const int a = checked_axis(op, x.shape(), axis);
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
