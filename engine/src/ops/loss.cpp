#include "ops/loss.h"

#include <algorithm>
#include <limits>

#include "core/dispatch.h"
#include "core/tensor_impl.h"
#include "cuda/library.h"
#include "normlab/ops.h"
#include "ops/softmax_cuda.h"

namespace normlab {
namespace {

constexpr char kCrossEntropy[] = "cross_entropy";

void check_options(const CrossEntropyOptions& options) {
  check<ArgumentError>(options.label_smoothing >= 0 && options.label_smoothing < 1, kCrossEntropy,
                       "label_smoothing must be in [0, 1), got ", options.label_smoothing);
}

/// True if targets are classes; else they are probabilities, floating and of logits' shape.
bool check_inputs(const Tensor& logits, const Tensor& targets) {
  check_carries_gradient(kCrossEntropy, "logits", logits);
  check(logits.rank() > 0, kCrossEntropy, "logits must be [..., V], got a scalar");
  const Shape rows = logits.shape().sub(0, logits.rank() - 1);
  const bool classes = targets.dtype() == DType::int32 || targets.dtype() == DType::int64;
  check<DtypeError>(classes || carries_gradient(targets.dtype()), kCrossEntropy,
                    "targets must be int32 or int64 class indices of shape ", rows,
                    ", or probabilities of logits' shape and dtype, got ", targets.dtype(), " ",
                    targets.shape());
  if (classes) {
    check(targets.shape() == rows, kCrossEntropy, "targets must be ", rows,
          ", one class for each row of logits ", logits.shape(), ", got ", targets.shape());
  } else {
    check(targets.shape() == logits.shape(), kCrossEntropy,
          "targets that are floating are probabilities: ", "they must be ", logits.shape(),
          " as logits, got ", targets.dtype(), " ", targets.shape(),
          "; class indices must be int32 or int64");
    check<DtypeError>(targets.dtype() == logits.dtype(), kCrossEntropy, "targets must be ",
                      logits.dtype(), " as logits, got ", targets.dtype(), "; to('", logits.dtype(),
                      "') converts");
  }
  check<DeviceError>(targets.device() == logits.device(), kCrossEntropy, "targets must be on ",
                     logits.device(), " as logits, are on ", targets.device());
  return classes;
}

void check_weight(const Tensor& logits, const Tensor& weight) {
  if (!weight.defined()) return;
  check<DtypeError>(weight.dtype() == logits.dtype(), kCrossEntropy, "weight must be ",
                    logits.dtype(), " as logits, got ", weight.dtype(), "; to('", logits.dtype(),
                    "') converts");
  check(weight.shape() == Shape{logits.size(-1)}, kCrossEntropy, "weight must be [",
        logits.size(-1), "], one number for each class of logits ", logits.shape(), ", got ",
        weight.shape());
  check<DeviceError>(weight.device() == logits.device(), kCrossEntropy, "weight must be on ",
                     logits.device(), " as logits, is on ", weight.device());
  check<GradError>(!needs_grad({weight}), kCrossEntropy,
                   "weight is a constant here and gets no gradient; pass weight.detach()");
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
      check<RangeError>(!counts || (0 <= target && target < n), kCrossEntropy,
                        "target classes must be in [0, ", n, "), got ", target, " in row ", r);
      to[r] = counts ? target : -1;
    }
  });
  return classes;
}

/// Targets and options of one loss.
struct Targets {
  Tensor classes, probabilities;  ///< one of both
  Tensor weight;                  ///< or undefined
  double weight_sum = 0, smoothing = 0;
};

double sum_of(const Tensor& weight) {
  double sum = 0;
  for (const double w : weight.to_vector()) sum += w;
  return sum;
}

Targets targets_of(const Tensor& logits, const Tensor& classes, const Tensor& probabilities,
                   const CrossEntropyOptions& options) {
  Targets t;
  const int64_t n = logits.size(-1);
  t.probabilities = probabilities;
  if (classes.defined()) t.classes = checked_classes(classes, n, options.ignore_index);
  t.weight = options.weight;
  t.weight_sum = t.weight.defined() ? sum_of(t.weight) : static_cast<double>(n);
  t.smoothing = options.label_smoothing;
  return t;
}

template <class T>
LossRows<T> rows_of(const Tensor& logits, const Targets& t) {
  const auto of = [](const Tensor& x) { return x.defined() ? x.data<T>() : nullptr; };
  const int64_t n = logits.size(-1), rows = logits.shape().numel(0, logits.rank() - 1);
  return {t.classes.defined() ? t.classes.data<int64_t>() : nullptr,
          of(t.probabilities),
          of(t.weight),
          t.weight_sum,
          rows,
          n,
          t.smoothing};
}

/// Divisor of a mean: the number of rows that count, or the weights of their classes.
double mean_divisor(const Targets& t, int64_t rows) {
  if (!t.classes.defined()) return static_cast<double>(rows);
  const int64_t* classes = t.classes.data<int64_t>();
  if (!t.weight.defined())
    return static_cast<double>(rows - std::count(classes, classes + rows, -1));
  const std::vector<double> weight = t.weight.to_vector();
  double sum = 0;
  for (int64_t r = 0; r < rows; ++r)
    if (classes[r] >= 0) sum += weight[static_cast<size_t>(classes[r])];
  return sum;
}

struct RowLosses {
  Tensor stats, loss;
};

RowLosses row_losses(const Tensor& logits, const Targets& targets) {
  const Shape shape = logits.shape().sub(0, logits.rank() - 1);
  RowLosses z{Tensor::empty({shape.numel(), kLossStats}, logits.dtype()),
              Tensor::empty(shape, logits.dtype())};
  dispatch_floating(kCrossEntropy, logits.dtype(), [&]<class T>() {
    const LossRows<T> rows = rows_of<T>(logits, targets);
    T *stats = z.stats.data<T>(), *loss = z.loss.data<T>();
    if constexpr (std::is_same_v<T, float>)
      loss_kernels_for_cpu().forward(logits.data<T>(), rows, stats, loss);
    else
      reference::cross_entropy(logits.data<T>(), rows, stats, loss);
  });
  return z;
}

/// dL/d(loss of the row) for every row: dz divided by `divisor`, or a dz of its own.
Tensor row_scales(const Tensor& dz, int64_t rows, Reduction reduction, double divisor) {
  if (reduction == Reduction::none) return dz;
  const double share = divisor != 0 ? dz.item() / divisor : 0;
  return Tensor::full({rows}, share, dz.dtype());
}

Grads backward_of_rows(const Tensor& logits, const Targets& targets, const Tensor& stats,
                       const Tensor& scale, Needs needs) {
  const auto wanted = [&](bool need) {
    return need ? Tensor::empty(logits.shape(), logits.dtype()) : Tensor();
  };
  Tensor dx = wanted(needs[0]), dt = wanted(needs[1]);
  dispatch_floating(kCrossEntropy, logits.dtype(), [&]<class T>() {
    const LossRows<T> rows = rows_of<T>(logits, targets);
    const T *from = logits.data<T>(), *s = stats.data<T>(), *g = scale.data<T>();
    if constexpr (std::is_same_v<T, float>) {
      const LossKernels& kernels = loss_kernels_for_cpu();
      if (needs[0]) kernels.backward(from, rows, s, g, dx.data<T>());
      if (dt.defined()) kernels.target_gradient(from, rows, s, g, dt.data<T>());
    } else {
      if (needs[0]) reference::cross_entropy_backward(from, rows, s, g, dx.data<T>());
      if (dt.defined()) reference::cross_entropy_target_gradient(from, rows, s, g, dt.data<T>());
    }
  });
  return {dx, dt};
}

/// The sum of the rows' losses (those that are ignored are 0) divided by `divisor`.
Tensor reduced(const Tensor& loss, double divisor) {
  double total = 0;
  dispatch_floating(kCrossEntropy, loss.dtype(), [&]<class T>() {
    const T* of = loss.data<T>();
    for (int64_t r = 0, rows = loss.numel(); r < rows; ++r) total += static_cast<double>(of[r]);
  });
  const double nan = std::numeric_limits<double>::quiet_NaN();
  return Tensor::scalar(divisor != 0 ? total / divisor : nan, loss.dtype());
}

/// Inputs of one loss, saved: backward() refuses one that has changed since.
struct KeptRows {
  Saved logits, probabilities, weight;
};

// --- on the GPU -------------------------------------------------------------------------------

cuda::LossSum sum_of(Reduction reduction) {
  if (reduction == Reduction::none) return cuda::LossSum::none;
  return reduction == Reduction::sum ? cuda::LossSum::sum : cuda::LossSum::mean;
}

/// Values of the rows that forward leaves for backward.
struct GpuRows {
  Tensor classes, stats, divisor;
};

cuda::LossArgs gpu_args(const Tensor& logits, const Tensor& probabilities, const GpuRows& rows,
                        const CrossEntropyOptions& options) {
  cuda::LossArgs args{};
  args.dtype = logits.dtype();
  args.logits = device_data(logits);
  args.probabilities = device_data_or_null<void>(probabilities);
  args.weight = device_data_or_null<void>(options.weight);
  args.rows = rows.classes.numel();
  args.n = logits.size(-1);
  args.smoothing = options.label_smoothing;
  args.sum = sum_of(options.reduction);
  args.classes = static_cast<int64_t*>(device_data(rows.classes));
  args.stats = device_data(rows.stats);
  args.divisor = static_cast<double*>(device_data(rows.divisor));
  return args;
}

Grads gpu_backward(const KeptRows& kept, const GpuRows& rows, CrossEntropyOptions options,
                   const Tensor& dz, Needs needs) {
  const Tensor logits = kept.logits.get(), probabilities = kept.probabilities.get();
  options.weight = kept.weight.get();
  const auto wanted = [&](bool need) {
    return need ? Tensor::empty(logits.shape(), logits.dtype(), Device::cuda) : Tensor();
  };
  const Tensor dx = wanted(needs[0]), dt = wanted(needs[1]);
  cuda::LossArgs args = gpu_args(logits, probabilities, rows, options);
  args.dz = device_data(dz);
  args.dlogits = device_data_or_null<void>(dx);
  args.dtargets = device_data_or_null<void>(dt);
  cuda::call(kCrossEntropy, cuda::backend().softmax->loss_backward, args);
  return {dx, dt};
}

/// One of classes and probabilities is undefined.
Tensor gpu_cross_entropy(const Tensor& logits, const Tensor& classes, const Tensor& probabilities,
                         const CrossEntropyOptions& options) {
  const auto empty = [](const Shape& shape, DType dtype) {
    return Tensor::empty(shape, dtype, Device::cuda);
  };
  const Shape shape = logits.shape().sub(0, logits.rank() - 1);
  const GpuRows rows{empty({shape.numel()}, DType::int64),
                     empty({shape.numel(), kLossStats}, computed_in(logits.dtype())),
                     empty({1}, DType::float64)};
  const Tensor losses = empty(shape, logits.dtype());
  const bool each = options.reduction == Reduction::none;
  const Tensor loss = each ? losses : empty({}, logits.dtype());
  cuda::LossArgs args = gpu_args(logits, probabilities, rows, options);
  args.targets = device_data_or_null<void>(classes);
  if (classes.defined()) args.target_dtype = classes.dtype();
  args.ignores = options.ignore_index.has_value();
  args.ignored = options.ignore_index.value_or(0);
  args.check = cuda::value_check(kCrossEntropy, shape, args.n);
  args.losses = device_data(losses);
  args.loss = device_data(loss);
  cuda::call(kCrossEntropy, cuda::backend().softmax->loss, args);
  return record(kCrossEntropy, loss, {logits, probabilities},
                [kept = KeptRows{Saved(logits), Saved(probabilities), Saved(options.weight)}, rows,
                 options](const Tensor& dz, Needs needs) -> Grads {
                  return gpu_backward(kept, rows, options, dz, needs);
                });
}

}  // namespace

Tensor cross_entropy(const Tensor& logits, const Tensor& targets,
                     const CrossEntropyOptions& options) {
  check_options(options);
  const bool by_class = check_inputs(logits, targets);
  check_weight(logits, options.weight);
  check<ArgumentError>(by_class || !options.ignore_index, kCrossEntropy,
                       "ignore_index is for target classes, not for probabilities");
  const Tensor classes = by_class ? targets : Tensor(), shares = by_class ? Tensor() : targets;
  if (logits.device() == Device::cuda) return gpu_cross_entropy(logits, classes, shares, options);
  if (is_stored_only(logits)) {
    CrossEntropyOptions wide = options;
    if (wide.weight.defined()) wide.weight = wide.weight.to(DType::float32);
    const Tensor of = by_class ? targets : targets.to(DType::float32);
    return cross_entropy(logits.to(DType::float32), of, wide).to(DType::bfloat16);
  }
  const Targets of = targets_of(logits, classes, shares, options);
  const RowLosses z = row_losses(logits, of);
  const Reduction reduction = options.reduction;
  const int64_t rows = z.loss.numel();
  const double divisor = reduction == Reduction::mean ? mean_divisor(of, rows) : 1;
  return record(
      kCrossEntropy, reduction == Reduction::none ? z.loss : reduced(z.loss, divisor),
      {logits, shares},
      [kept = KeptRows{Saved(logits), Saved(shares), Saved(options.weight)}, of, stats = z.stats,
       rows, reduction, divisor](const Tensor& dz, Needs needs) -> Grads {
        const Targets now{of.classes, kept.probabilities.get(), kept.weight.get(), of.weight_sum,
                          of.smoothing};
        return backward_of_rows(kept.logits.get(), now, stats,
                                row_scales(dz, rows, reduction, divisor), needs);
      });
}

}  // namespace normlab
