#include "ops/reduce.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "core/dispatch.h"
#include "core/tensor_impl.h"
#include "cuda/library.h"
#include "normlab/ops.h"
#include "ops/reduce_cuda.h"
#include "ops/shape.h"

namespace normlab {
namespace {

/// Which axes are reduced, and how: groups of neighbouring axes one after the other, the last group
/// first (axes of length 1 do not separate neighbours).
struct ReducedAxes {
  std::vector<bool> reduced;
  std::vector<AxisView> passes;  ///< at least one
  int64_t n = 1;                 ///< elements that make one of the result
  Shape kept;                    ///< x's shape with 1 for the reduced axes
  Shape result;                  ///< shape of the op's result
};

std::vector<bool> marked(const char* op, const Shape& shape, const std::vector<int>& axes) {
  std::vector<bool> reduced(std::max(shape.rank(), 1), axes.empty());
  for (const int axis : axes) {
    const bool of_scalar = shape.rank() == 0 && (axis == 0 || axis == -1);
    const int a = of_scalar ? 0 : shape.wrap(axis, op);
    check<ArgumentError>(!reduced[a], op, "axes must differ, got axis ", axis, " of shape ", shape,
                         " twice");
    reduced[a] = true;
  }
  return reduced;
}

std::vector<AxisView> passes_over(const Shape& shape, const std::vector<bool>& reduced) {
  std::vector<AxisView> passes;
  int64_t inner = 1;
  bool joins = false;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    if (shape[i] == 1) continue;
    if (!reduced[i])
      inner *= shape[i];
    else if (joins)
      passes.back() = {shape.numel(0, i), passes.back().n * shape[i], inner};
    else
      passes.push_back({shape.numel(0, i), shape[i], inner});
    joins = reduced[i];
  }
  if (passes.empty()) passes.push_back({1, 1, shape.numel()});
  return passes;
}

ReducedAxes plan(const char* op, const Shape& shape, const std::vector<int>& axes, bool keepdim) {
  ReducedAxes p;
  p.reduced = marked(op, shape, axes);
  p.passes = passes_over(shape, p.reduced);
  p.kept = shape;
  for (int i = 0; i < shape.rank(); ++i) {
    if (!p.reduced[i] || keepdim) p.result.push_back(p.reduced[i] ? 1 : shape[i]);
    if (!p.reduced[i]) continue;
    p.n *= shape[i];
    p.kept[i] = 1;
  }
  return p;
}

const cuda::ReduceFunctions& gpu_reductions() {
  return *cuda::backend().reduce;
}

Tensor gpu_scratch(AxisView view) {
  return Tensor::empty({gpu_reductions().scratch(view)}, DType::uint8, Device::cuda);
}

/// scale * sum of x over one group of axes, or of (x - center)^2 where a center is given; integers
/// give int64.
Tensor sum_pass(const char* op, const Tensor& x, const Tensor& center, AxisView view, double scale,
                const Shape& result, std::optional<DType> dtype = std::nullopt) {
  const DType own = carries_gradient(x.dtype()) ? x.dtype() : DType::int64;
  Tensor z = Tensor::empty(result, dtype.value_or(own), x.device());
  if (x.device() == Device::cuda) {
    cuda::call(op, gpu_reductions().sum, x.dtype(), device_data(x),
               center ? device_data(center) : nullptr, view, scale, device_data(gpu_scratch(view)),
               z.dtype(), device_data(z));
    return z;
  }
  dispatch(x.dtype(), [&]<class T>() {
    const T* from = x.data<T>();
    const T* around = center ? center.data<T>() : nullptr;
    if constexpr (std::is_same_v<T, float>) {
      const ReduceKernels& kernels = reduce_kernels_for_cpu();
      Tensor scratch = Tensor::empty({kernels.scratch(view)}, DType::float64);
      kernels.sum(from, around, view, scale, scratch.data<double>(), z.data<float>());
    } else {
      using Z = std::conditional_t<std::is_floating_point_v<T>, T, int64_t>;
      reference::sum(from, around, view, scale, z.data<Z>());
    }
  });
  return z;
}

Tensor scaled_sum(const char* op, const Tensor& x, const ReducedAxes& p, double scale) {
  if (is_stored_only(x)) return scaled_sum(op, x.to(DType::float32), p, scale).to(DType::bfloat16);
  Tensor z = x;
  for (size_t k = 0; k + 1 < p.passes.size(); ++k)
    z = sum_pass(op, z, {}, p.passes[k], 1.0, {p.passes[k].outer * p.passes[k].inner});
  return sum_pass(op, z, {}, p.passes.back(), scale, p.result);
}

void check_floating(const char* op, const Tensor& x) {
  check<DtypeError>(is_floating(x.dtype()), op, "x must be float32 or float64, got ", x.dtype());
}

struct Greatest {
  Tensor value, place;
};

Greatest greatest(const char* op, const Tensor& x, const ReducedAxes& p) {
  check<DtypeError>(x.dtype() != DType::bfloat16, op,
                    "does not take bfloat16; to('float32') converts");
  check(p.n > 0, op, "no elements to choose from in shape ", x.shape());
  Greatest g{Tensor::empty(p.result, x.dtype(), x.device()),
             Tensor::empty(p.result, DType::int64, x.device())};
  const AxisView view = p.passes[0];
  if (x.device() == Device::cuda) {
    cuda::call(op, gpu_reductions().max, x.dtype(), device_data(x), view,
               device_data(gpu_scratch(view)), device_data(g.value),
               static_cast<int64_t*>(device_data(g.place)));
    return g;
  }
  int64_t* place = g.place.data<int64_t>();
  dispatch(x.dtype(), [&]<class T>() {
    if constexpr (std::is_same_v<T, float>)
      reduce_kernels_for_cpu().max(x.data<T>(), view, g.value.data<T>(), place);
    else
      reference::max(x.data<T>(), view, g.value.data<T>(), place);
  });
  return g;
}

/// Zeros but for dz at the places of the greatest elements.
Tensor max_backward(const Tensor& dz, const Tensor& place, AxisView view, const Shape& shape) {
  if (dz.device() == Device::cuda) {
    Tensor dx = Tensor::empty(shape, dz.dtype(), dz.device());
    cuda::call("max", gpu_reductions().max_backward, dz.dtype(), device_data(dz),
               static_cast<const int64_t*>(device_data(place)), view, device_data(dx));
    return dx;
  }
  Tensor dx = Tensor::zeros(shape, dz.dtype());
  dispatch_floating("max", dz.dtype(), [&]<class T>() {
    const int64_t* at = place.data<int64_t>();
    const T* from = dz.data<T>();
    T* to = dx.data<T>();
    for (int64_t o = 0; o < view.outer; ++o)
      for (int64_t i = 0; i < view.inner; ++i) {
        const int64_t k = o * view.inner + i;
        to[(o * view.n + at[k]) * view.inner + i] = from[k];
      }
  });
  return dx;
}

/// Over one axis or all: one pass in either case.
Tensor max_over(const Tensor& x, const std::vector<int>& axes, bool keepdim) {
  const ReducedAxes p = plan("max", x.shape(), axes, keepdim);
  const Greatest g = greatest("max", x, p);
  return record(
      "max", g.value, {x},
      [place = g.place, view = p.passes[0], shape = x.shape()](const Tensor& dz, Needs) -> Grads {
        return {max_backward(dz, place, view, shape)};
      });
}

/// The variance of groups of axes that are not neighbours: they are put last first.
Tensor var_of_transposed(const Tensor& x, const ReducedAxes& p, int correction) {
  std::vector<int> order, last;
  for (const bool reduced : {false, true}) {
    for (int i = 0; i < x.rank(); ++i) {
      if (p.reduced[i] != reduced) continue;
      if (reduced) last.push_back(static_cast<int>(order.size()));
      order.push_back(i);
    }
  }
  return var(transpose(x, order), last, false, correction).reshape(p.result);
}

Tensor var_backward(const Tensor& x, const Tensor& center, const Tensor& dz, AxisView view,
                    double scale) {
  Tensor dx = Tensor::empty(x.shape(), x.dtype(), x.device());
  if (x.device() == Device::cuda) {
    cuda::call("var", gpu_reductions().var_backward, x.dtype(), device_data(x), device_data(center),
               device_data(dz), view, scale, device_data(dx));
    return dx;
  }
  dispatch_floating("var", x.dtype(), [&]<class T>() {
    const T *from = x.data<T>(), *around = center.data<T>(), *g = dz.data<T>();
    if constexpr (std::is_same_v<T, float>)
      reduce_kernels_for_cpu().var_backward(from, around, g, view, scale, dx.data<T>());
    else
      reference::var_backward(from, around, g, view, scale, dx.data<T>());
  });
  return dx;
}

/// The sum of int64 may leave its range, that of smaller ones does not.
Tensor mean_of_integers(const Tensor& x, const std::vector<int>& axes, bool keepdim, int64_t n) {
  const Tensor total = x.dtype() == DType::int64 ? sum(x.to(DType::float64), axes, keepdim)
                                                 : sum(x, axes, keepdim).to(DType::float64);
  return div(total, n).to(DType::float32);
}

constexpr double kInf = std::numeric_limits<double>::infinity();

/// x with 0 in place of infinities.
Tensor finite_or_zero(const Tensor& x) {
  return where(compare(abs(x), kInf, Comparison::eq), 0, x);
}

/// z, dz: the result and its gradient, with the reduced axes.
Tensor logsumexp_backward(const Tensor& x, const Tensor& z, const Tensor& dz,
                          const std::vector<int>& axes) {
  Tensor weight = exp(x - finite_or_zero(z));
  // On the GPU it would take a wait to know whether there is one.
  const Tensor infinite = compare(z, kInf, Comparison::eq);
  if (x.device() == Device::cuda || sum(infinite).item() > 0) {
    const Tensor peaks = compare(x, kInf, Comparison::eq).to(x.dtype());
    const Tensor shares = peaks / maximum(sum(peaks, axes, true), 1);
    weight = where(infinite, shares, weight);
  }
  return weight * dz;
}

}  // namespace

Tensor column_sums(const char* name, const Tensor& x, int64_t width) {
  if (is_stored_only(x)) return column_sums(name, x.to(DType::float32), width);
  const AxisView view = {1, width > 0 ? x.numel() / width : 0, width};
  return sum_pass(name, x, {}, view, 1.0, {width}, computed_in(x.dtype()));
}

Tensor sum(const Tensor& x, const std::vector<int>& axes, bool keepdim) {
  const ReducedAxes p = plan("sum", x.shape(), axes, keepdim);
  return record("sum", scaled_sum("sum", x, p, 1.0), {x},
                [kept = p.kept, shape = x.shape()](const Tensor& dz, Needs) -> Grads {
                  return {expand(view_of(dz, 0, kept), shape)};
                });
}

Tensor mean(const Tensor& x, const std::vector<int>& axes, bool keepdim) {
  const ReducedAxes p = plan("mean", x.shape(), axes, keepdim);
  check(p.n > 0, "mean", "no elements to average in shape ", x.shape());
  if (!carries_gradient(x.dtype())) return mean_of_integers(x, axes, keepdim, p.n);
  const double scale = 1.0 / static_cast<double>(p.n);
  return record("mean", scaled_sum("mean", x, p, scale), {x},
                [kept = p.kept, shape = x.shape(), scale](const Tensor& dz, Needs) -> Grads {
                  return {expand(mul(view_of(dz, 0, kept), scale), shape)};
                });
}

Tensor var(const Tensor& x, const std::vector<int>& axes, bool keepdim, int correction) {
  check_floating("var", x);
  check<ArgumentError>(correction >= 0, "var", "correction must not be negative, got ", correction);
  const ReducedAxes p = plan("var", x.shape(), axes, keepdim);
  check(p.n > correction, "var", "needs more than correction = ", correction,
        " elements to reduce, got ", p.n, " in shape ", x.shape());
  if (p.passes.size() > 1) return var_of_transposed(x, p, correction);
  const AxisView view = p.passes[0];
  const Tensor center = sum_pass("var", x, {}, view, 1.0 / static_cast<double>(p.n), p.result);
  const double scale = 1.0 / static_cast<double>(p.n - correction);
  return record("var", sum_pass("var", x, center, view, scale, p.result), {x},
                [saved = Saved(x), center, view, scale](const Tensor& dz, Needs) -> Grads {
                  return {var_backward(saved.get(), center, dz, view, 2 * scale)};
                });
}

Tensor logsumexp(const Tensor& x, const std::vector<int>& axes, bool keepdim) {
  check_carries_gradient("logsumexp", "x", x);
  if (x.dtype() == DType::bfloat16)
    return logsumexp(x.to(DType::float32), axes, keepdim).to(DType::bfloat16);
  const ReducedAxes p = plan("logsumexp", x.shape(), axes, keepdim);
  Tensor z = Tensor::full(p.kept, -kInf, x.dtype(), x.device());
  if (p.n > 0) {
    const NoGrad no_grad;
    Tensor greatest = x;
    for (int axis = 0; axis < x.rank(); ++axis)
      if (p.reduced[axis]) greatest = max(greatest, axis, true);
    const Tensor shift = finite_or_zero(greatest);
    z = log(sum(exp(x - shift), axes, true)) + shift;
  }
  return record("logsumexp", view_of(z, 0, p.result), {x},
                [kept_x = Saved(x), kept_z = Saved(z), axes](const Tensor& dz, Needs) -> Grads {
                  const Tensor z = kept_z.get(), g = view_of(dz, 0, z.shape());
                  return {logsumexp_backward(kept_x.get(), z, g, axes)};
                });
}

Tensor max(const Tensor& x) {
  return max_over(x, {}, false);
}

Tensor max(const Tensor& x, int axis, bool keepdim) {
  return max_over(x, {axis}, keepdim);
}

Tensor argmax(const Tensor& x, int axis, bool keepdim) {
  return greatest("argmax", x, plan("argmax", x.shape(), {axis}, keepdim)).place;
}

}  // namespace normlab
