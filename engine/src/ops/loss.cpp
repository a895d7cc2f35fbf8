#include "ops/loss.h"

#include <algorithm>
#include <limits>

#include "backend/cuda.h"
#include "core/dispatch.h"
#include "core/tensor_impl.h"
#include "normlab/ops.h"

namespace normlab {
namespace {

constexpr char kOp[] = "cross_entropy";

void check_options(const CrossEntropyOptions& options) {
  check<ValueError>(options.label_smoothing >= 0 && options.label_smoothing < 1, kOp,
                    "label_smoothing must be in [0, 1), got ", options.label_smoothing);
}

void check_inputs(const Tensor& logits, const Tensor& targets) {
  check<DtypeError>(is_computable(logits), kOp, "logits must be float32 or float64, got ",
                    logits.dtype());
  check(logits.rank() > 0, kOp, "logits must be [..., V], got a scalar");
  const Shape rows = logits.shape().sub(0, logits.rank() - 1);
  check<DtypeError>(targets.dtype() == DType::int32 || targets.dtype() == DType::int64, kOp,
                    "targets must be int32 or int64 class indices of shape ", rows, ", got ",
                    targets.dtype(), " ", targets.shape());
  check(targets.shape() == rows, kOp, "targets must be ", rows,
        ", one class for each row of logits ", logits.shape(), ", got ", targets.shape());
  check<DeviceError>(targets.device() == logits.device(), kOp, "targets must be on ",
                     logits.device(), " as logits, are on ", targets.device());
}

/// The class of every row, -1 where the row is to be ignored.
Tensor checked_classes(const Tensor& targets, int64_t n, std::optional<int64_t> ignore) {
  Tensor classes = Tensor::empty({targets.numel()}, DType::int64);
  int64_t* to = classes.data<int64_t>();
  dispatch(targets.dtype(), [&]<class T>() {
    const T* from = targets.data<T>();
    for (int64_t r = 0, rows = classes.numel(); r < rows; ++r) {
      const int64_t target = static_cast<int64_t>(from[r]);
      const bool counts = !ignore || target != *ignore;
      check<IndexError>(!counts || (0 <= target && target < n), kOp,
                        "target classes must be in [0, ", n, "), got ", target, " in row ", r);
      to[r] = counts ? target : -1;
    }
  });
  return classes;
}

struct RowLosses {
  Tensor stats, loss;
};

RowLosses row_losses(const Tensor& logits, const LossRows& rows, const Shape& shape) {
  RowLosses z{Tensor::empty({rows.rows, 2}, logits.dtype()), Tensor::empty(shape, logits.dtype())};
  dispatch_floating(kOp, logits.dtype(), [&]<class T>() {
    T *stats = z.stats.data<T>(), *loss = z.loss.data<T>();
    if constexpr (std::is_same_v<T, float>)
      loss_kernels_for_cpu().forward(logits.data<T>(), rows, stats, loss);
    else
      reference::cross_entropy(logits.data<T>(), rows, stats, loss);
  });
  return z;
}

/// dL/d(loss of the row) for every row: dz divided by `count`, or a dz of its own.
Tensor row_scales(const Tensor& dz, const LossRows& rows, double count) {
  if (dz.numel() == rows.rows && count == 1) return dz;
  const double share = count > 0 ? dz.item() / count : 0;
  return Tensor::full({rows.rows}, share, dz.dtype());
}

Tensor backward_of_rows(const Tensor& logits, const LossRows& rows, const Tensor& stats,
                        const Tensor& scale) {
  Tensor dx = Tensor::empty(logits.shape(), logits.dtype());
  dispatch_floating(kOp, logits.dtype(), [&]<class T>() {
    const T *from = logits.data<T>(), *s = stats.data<T>(), *g = scale.data<T>();
    if constexpr (std::is_same_v<T, float>)
      loss_kernels_for_cpu().backward(from, rows, s, g, dx.data<T>());
    else
      reference::cross_entropy_backward(from, rows, s, g, dx.data<T>());
  });
  return dx;
}

/// The sum of the rows' losses (those that are ignored are 0) divided by `count`.
Tensor reduced(const Tensor& loss, double count) {
  double total = 0;
  dispatch_floating(kOp, loss.dtype(), [&]<class T>() {
    const T* of = loss.data<T>();
    for (int64_t r = 0, rows = loss.numel(); r < rows; ++r) total += static_cast<double>(of[r]);
  });
  const double nan = std::numeric_limits<double>::quiet_NaN();
  return Tensor::scalar(count > 0 ? total / count : nan, loss.dtype());
}

// --- on the GPU -------------------------------------------------------------------------------

cuda::LossSum sum_of(Reduction reduction) {
  if (reduction == Reduction::none) return cuda::LossSum::none;
  return reduction == Reduction::sum ? cuda::LossSum::sum : cuda::LossSum::mean;
}

/// What forward leaves for backward.
struct GpuRows {
  Tensor classes, stats, count;
};

cuda::LossArgs gpu_args(const Tensor& logits, const GpuRows& rows,
                        const CrossEntropyOptions& options) {
  cuda::LossArgs args{};
  args.dtype = logits.dtype();
  args.logits = device_data(logits);
  args.rows = rows.classes.numel();
  args.n = logits.size(-1);
  args.smoothing = options.label_smoothing;
  args.sum = sum_of(options.reduction);
  args.classes = static_cast<int64_t*>(device_data(rows.classes));
  args.stats = device_data(rows.stats);
  args.count = static_cast<double*>(device_data(rows.count));
  return args;
}

Tensor gpu_backward(const Tensor& logits, const GpuRows& rows, const CrossEntropyOptions& options,
                    const Tensor& dz) {
  const Tensor dx = Tensor::empty(logits.shape(), logits.dtype(), Device::cuda);
  cuda::LossArgs args = gpu_args(logits, rows, options);
  args.dz = device_data(dz);
  args.dlogits = device_data(dx);
  cuda::call(kOp, cuda::backend().softmax->loss_backward, args);
  return dx;
}

Tensor gpu_cross_entropy(const Tensor& logits, const Tensor& targets,
                         const CrossEntropyOptions& options) {
  const auto empty = [](const Shape& shape, DType dtype) {
    return Tensor::empty(shape, dtype, Device::cuda);
  };
  const GpuRows rows{empty({targets.numel()}, DType::int64),
                     empty({targets.numel(), 2}, computed_in(logits.dtype())),
                     empty({1}, DType::float64)};
  const Tensor losses = empty(targets.shape(), logits.dtype());
  const bool each = options.reduction == Reduction::none;
  const Tensor loss = each ? losses : empty({}, logits.dtype());
  cuda::LossArgs args = gpu_args(logits, rows, options);
  args.targets = device_data(targets);
  args.target_dtype = targets.dtype();
  args.ignores = options.ignore_index.has_value();
  args.ignored = options.ignore_index.value_or(0);
  args.check = cuda::value_check(kOp, targets.shape(), args.n);
  args.losses = device_data(losses);
  args.loss = device_data(loss);
  cuda::call(kOp, cuda::backend().softmax->loss, args);
  return record(kOp, loss, {logits},
                [saved = Saved(logits), rows, options](const Tensor& dz, Needs) -> Grads {
                  return {gpu_backward(saved.get(), rows, options, dz)};
                });
}

}  // namespace

Tensor cross_entropy(const Tensor& logits, const Tensor& targets,
                     const CrossEntropyOptions& options) {
  check_options(options);
  check_inputs(logits, targets);
  if (logits.device() == Device::cuda) return gpu_cross_entropy(logits, targets, options);
  const int64_t n = logits.size(-1);
  const Tensor classes = checked_classes(targets, n, options.ignore_index);
  const int64_t* of = classes.data<int64_t>();
  const LossRows rows{of, classes.numel(), n, options.label_smoothing};
  const RowLosses z = row_losses(logits, rows, targets.shape());
  double count = 1;
  if (options.reduction == Reduction::mean)
    count = static_cast<double>(rows.rows - std::count(of, of + rows.rows, -1));
  const bool each = options.reduction == Reduction::none;
  return record(kOp, each ? z.loss : reduced(z.loss, count), {logits},
                [saved = Saved(logits), classes, stats = z.stats, rows, count](const Tensor& dz,
                                                                               Needs) -> Grads {
                  return {backward_of_rows(saved.get(), rows, stats, row_scales(dz, rows, count))};
                });
}

}  // namespace normlab
