#include "ops/shape.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "core/dispatch.h"
#include "core/gpu.h"
#include "core/joined_axes.h"
#include "core/tensor_impl.h"
#include "cpu/parallel.h"
#include "cuda/library.h"
#include "normlab/ops.h"
#include "ops/axis.h"
#include "ops/broadcast.h"
#include "ops/shape_cuda.h"

namespace normlab {
namespace {

/// One axis of a strided copy: its length, and how far apart its elements lie in source and result.
struct Axis {
  int64_t length, from, to;
};

/// The axes of a copy whose source has `strides` and whose result is row-major; axes that can be
/// walked as one are joined.
std::vector<Axis> joined_axes(const Shape& shape, const std::vector<int64_t>& strides) {
  std::vector<Axis> axes;  // last axis first
  int64_t to = 1;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    if (shape[i] == 1) continue;
    if (!axes.empty() && strides[i] == axes.back().from * axes.back().length)
      axes.back().length *= shape[i];
    else
      axes.push_back({shape[i], strides[i], to});
    to *= shape[i];
  }
  std::ranges::reverse(axes);
  if (axes.empty()) axes.push_back({1, 1, 1});
  return axes;
}

/// Where element k of the space spanned by `axes` lies in source and result.
Axis place_of(const std::vector<Axis>& axes, int64_t k) {
  Axis place{1, 0, 0};
  for (size_t i = axes.size(); i-- > 0;) {
    const int64_t at = i > 0 ? k % axes[i].length : k;
    place.from += at * axes[i].from;
    place.to += at * axes[i].to;
    k /= axes[i].length;
  }
  return place;
}

int64_t size_of_space(const std::vector<Axis>& axes) {
  int64_t n = 1;
  for (const Axis& axis : axes) n *= axis.length;
  return n;
}

template <class T>
void copy_row(const T* from, T* to, const Axis& row) {
  if (row.from == 1)
    std::copy_n(from, row.length, to);
  else if (row.from == 0)
    std::fill_n(to, row.length, *from);
  else
    for (int64_t i = 0; i < row.length; ++i) to[i] = from[i * row.from];
}

/// Copies row by row of the result.
template <class T>
void copy_rows(const T* from, T* to, std::vector<Axis> axes) {
  const Axis row = axes.back();
  axes.pop_back();
  if (axes.empty()) axes.push_back({1, 0, 0});
  parallel_for(size_of_space(axes), row.length, [&](int64_t k) {
    const Axis at = place_of(axes, k);
    copy_row(from + at.from, to + at.to, row);
  });
}

/// A tile of `rows` x `columns` elements, transposed.
template <class T>
void copy_tile(const T* from, int64_t from_step, T* to, int64_t to_step, int64_t rows,
               int64_t columns) {
  const ShapeKernels& kernels = shape_kernels_for_cpu();
  if constexpr (sizeof(T) == 4)
    if (rows == kernels.side && columns == kernels.side)
      return kernels.transpose(from, from_step, to, to_step);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) to[i * to_step + j] = from[i + j * from_step];
}

/// Copies where the source runs along another axis than the result: in square tiles, so that both
/// sides use whole cache lines.
template <class T>
void copy_tiles(const T* from, T* to, std::vector<Axis> axes, size_t source_axis) {
  const int64_t side = sizeof(T) == 4 ? shape_kernels_for_cpu().side : 8;
  const Axis row = axes.back(), column = axes[source_axis];
  axes.pop_back();
  axes.erase(axes.begin() + static_cast<int64_t>(source_axis));
  if (axes.empty()) axes.push_back({1, 0, 0});
  const int64_t strips = (column.length + side - 1) / side;
  parallel_for(size_of_space(axes) * strips, side * row.length, [&](int64_t k) {
    const Axis at = place_of(axes, k / strips);
    const int64_t i = k % strips * side, rows = std::min(side, column.length - i);
    for (int64_t j = 0; j < row.length; j += side)
      copy_tile(from + at.from + i + j * row.from, row.from, to + at.to + i * column.to + j,
                column.to, rows, std::min(side, row.length - j));
  });
}

/// Copies elements of a space of that shape, wherever they lie in two tensors on the GPU; offsets
/// and strides in elements.
void copy_on_gpu(const char* op, const Tensor& from, int64_t from_offset,
                 const std::vector<int64_t>& from_strides, const Tensor& to, int64_t to_offset,
                 const std::vector<int64_t>& to_strides, const Shape& shape) {
  JoinedAxes axes;
  axes.tensors = 2;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    const int64_t steps[2] = {from_strides[i], to_strides[i]};
    if (shape[i] != 1) axes.add(shape[i], steps);
  }
  axes.finish();
  const int64_t item = size_of(from.dtype());
  const auto at = [&](const Tensor& x, int64_t offset) {
    return static_cast<char*>(device_data(x)) + offset * item;
  };
  cuda::call(op, cuda::backend().shape->copy, item, at(from, from_offset), at(to, to_offset), axes);
}

std::vector<int64_t> strides_of(const Shape& shape) {
  std::vector<int64_t> strides(shape.rank());
  for (int i = 0; i < shape.rank(); ++i) strides[i] = shape.numel(i + 1, shape.rank());
  return strides;
}

/// The tensor of that shape whose elements lie `strides` apart in x, `offset` elements from its
/// start; a copy, off the tape.
Tensor strided_copy(const char* op, const Tensor& x, int64_t offset, const Shape& shape,
                    const std::vector<int64_t>& strides) {
  Tensor z = Tensor::empty(shape, x.dtype(), x.device());
  if (z.numel() == 0) return z;
  if (x.device() == Device::cuda) {
    copy_on_gpu(op, x, offset, strides, z, 0, strides_of(shape), shape);
    return z;
  }
  const std::vector<Axis> axes = joined_axes(shape, strides);
  const auto unit = std::ranges::find(axes, 1, &Axis::from);
  const bool tiles = axes.back().from > 1 && unit != axes.end();
  dispatch(x.dtype(), [&]<class T>() {
    const T* from = x.data<T>() + offset;
    if (tiles)
      copy_tiles(from, z.data<T>(), axes, static_cast<size_t>(unit - axes.begin()));
    else
      copy_rows(from, z.data<T>(), axes);
  });
  return z;
}

Tensor permuted(const Tensor& x, const std::vector<int>& order) {
  const std::vector<int64_t> from = strides_of(x.shape());
  Shape shape;
  std::vector<int64_t> strides;
  for (const int axis : order) {
    shape.push_back(x.size(axis));
    strides.push_back(from[axis]);
  }
  return strided_copy("transpose", x, 0, shape, strides);
}

std::vector<int> checked_order(const Shape& shape, const std::vector<int>& order) {
  const int rank = shape.rank();
  std::vector<int> axes(rank);
  if (order.empty()) {
    std::iota(axes.rbegin(), axes.rend(), 0);
    return axes;
  }
  check<ArgumentError>(static_cast<int>(order.size()) == rank, "transpose", "order must name the ",
                       rank, " axes of shape ", shape, ", got ", order.size());
  std::vector<bool> seen(rank);
  for (int i = 0; i < rank; ++i) {
    axes[i] = checked_axis("transpose", shape, order[i]);
    check<ArgumentError>(!seen[axes[i]], "transpose", "order must name every axis of shape ", shape,
                         " once, got axis ", order[i], " twice");
    seen[axes[i]] = true;
  }
  return axes;
}

/// `count` rows of `bytes` each, at those distances.
void copy_spaced(const char* from, int64_t from_step, char* to, int64_t to_step, int64_t bytes,
                 int64_t count) {
  if (bytes == 0) return;
  parallel_for(count, bytes / 4, [&](int64_t i) {
    std::memcpy(to + i * to_step, from + i * from_step, static_cast<size_t>(bytes));
  });
}

/// Copies between `part`, whole along `axis`, and the stretch of `whole` from `begin` on.
void copy_part(const char* op, const Tensor& from, const Tensor& to, int axis, int64_t begin,
               bool out) {
  const Tensor &whole = out ? from : to, &part = out ? to : from;
  const AxisView view = view_around(part.shape(), axis);
  if (from.device() == Device::cuda) {
    const std::vector<int64_t> in_whole = strides_of(whole.shape()),
                               in_part = strides_of(part.shape());
    const int64_t offset = begin * in_whole[axis];
    if (out)
      copy_on_gpu(op, from, offset, in_whole, to, 0, in_part, part.shape());
    else
      copy_on_gpu(op, from, 0, in_part, to, offset, in_whole, part.shape());
    return;
  }
  const int64_t inner = view.inner * size_of(part.dtype());
  const int64_t step = whole.size(axis) * inner, bytes = view.n * inner;
  char* const in_whole = static_cast<char*>(whole.raw()) + begin * inner;
  char* const in_part = static_cast<char*>(part.raw());
  if (out)
    copy_spaced(in_whole, step, in_part, bytes, bytes, view.outer);
  else
    copy_spaced(in_part, bytes, in_whole, step, bytes, view.outer);
}

/// Zeros of `shape` but for the elements begin, begin + step, ... along `axis`, which are dz.
Tensor slice_backward(const Tensor& dz, const Shape& shape, int axis, int64_t begin, int64_t step) {
  Tensor dx = Tensor::zeros(shape, dz.dtype(), dz.device());
  if (step == 1) {
    copy_part("slice", dz, dx, axis, begin, false);
    return dx;
  }
  if (dz.device() == Device::cuda) {
    std::vector<int64_t> strides = strides_of(shape);
    const int64_t offset = begin * strides[axis];
    if (dz.size(axis) > 1) strides[axis] *= step;  // a lone element may have a step of any size
    copy_on_gpu("slice", dz, 0, strides_of(dz.shape()), dx, offset, strides, dz.shape());
    return dx;
  }
  const AxisView view = view_around(dz.shape(), axis);
  const int64_t row = view.inner * size_of(dz.dtype());
  for (int64_t o = 0; o < view.outer; ++o)
    copy_spaced(static_cast<const char*>(dz.raw()) + o * view.n * row, row,
                static_cast<char*>(dx.raw()) + (o * shape[axis] + begin) * row, step * row, row,
                view.n);
  return dx;
}

Shape concat_shape(const std::vector<Tensor>& parts, int axis) {
  Shape shape = parts[0].shape();
  shape[axis] = 0;
  for (size_t k = 0; k < parts.size(); ++k) {
    const Shape& part = parts[k].shape();
    check<DtypeError>(parts[k].dtype() == parts[0].dtype(), "concat", "all parts must be ",
                      parts[0].dtype(), ", as part 0 is; part ", k, " is ", parts[k].dtype());
    check<DeviceError>(parts[k].device() == parts[0].device(), "concat", "all parts must be on ",
                       parts[0].device(), ", as part 0 is; part ", k, " is on ", parts[k].device());
    bool fits = part.rank() == shape.rank();
    for (int i = 0; fits && i < shape.rank(); ++i) fits = i == axis || part[i] == shape[i];
    check(fits, "concat", "part ", k, " must have the lengths of part 0, ", parts[0].shape(),
          ", but for axis ", axis, "; it is ", part);
    shape[axis] += part[axis];
  }
  return shape;
}

}  // namespace

Tensor expand(const Tensor& x, const Shape& shape) {
  std::vector<int64_t> strides = strides_of(x.shape());
  for (int i = 0; i < x.rank(); ++i)
    if (x.size(i) == 1) strides[i] = 0;
  strides.insert(strides.begin(), shape.rank() - x.rank(), 0);
  return strided_copy("expand", x, 0, shape, strides);
}

Tensor transpose(const Tensor& x, const std::vector<int>& order) {
  const std::vector<int> axes = checked_order(x.shape(), order);
  return record("transpose", permuted(x, axes), {x}, [axes](const Tensor& dz, Needs) -> Grads {
    std::vector<int> inverse(axes.size());
    for (size_t i = 0; i < axes.size(); ++i) inverse[axes[i]] = static_cast<int>(i);
    return {permuted(dz, inverse)};
  });
}

Tensor flatten(const Tensor& x, int from, int to) {
  if (x.rank() == 0) return x.reshape({1});
  const int first = checked_axis("flatten", x.shape(), from);
  const int last = checked_axis("flatten", x.shape(), to);
  check<ArgumentError>(first <= last, "flatten", "axis `from` must not come after `to`, got ", from,
                       " and ", to, " for shape ", x.shape());
  Shape shape = x.shape().sub(0, first);
  shape.push_back(x.shape().numel(first, last + 1));
  for (int i = last + 1; i < x.rank(); ++i) shape.push_back(x.size(i));
  return x.reshape(shape);
}

Tensor broadcast_to(const Tensor& x, const Shape& shape) {
  bool fits = x.rank() <= shape.rank();
  for (int i = 1; fits && i <= x.rank(); ++i) fits = x.size(-i) == shape[-i] || x.size(-i) == 1;
  check(fits, "broadcast_to", "shape ", x.shape(), " does not broadcast to ", shape,
        ": counted from the end, each length must be that of the target or 1");
  return record(
      "broadcast_to", expand(x, shape), {x},
      [from = x.shape()](const Tensor& dz, Needs) -> Grads { return {sum_to(dz, from)}; });
}

Tensor concat(const std::vector<Tensor>& parts, int axis) {
  check<ArgumentError>(!parts.empty(), "concat", "needs at least one part, got none");
  const int a = checked_axis("concat", parts[0].shape(), axis);
  const Tensor z = Tensor::empty(concat_shape(parts, a), parts[0].dtype(), parts[0].device());
  int64_t begin = 0;
  std::vector<Shape> shapes;
  for (const Tensor& part : parts) {
    copy_part("concat", part, z, a, begin, false);
    begin += part.size(a);
    shapes.push_back(part.shape());
  }
  return record("concat", z, parts, [shapes, a](const Tensor& dz, Needs needs) -> Grads {
    Grads grads(shapes.size());
    int64_t begin = 0;
    for (size_t k = 0; k < shapes.size(); begin += shapes[k++][a]) {
      if (!needs[k]) continue;
      const Tensor dx = Tensor::empty(shapes[k], dz.dtype(), dz.device());
      copy_part("concat", dz, dx, a, begin, true);
      grads[k] = dx;
    }
    return grads;
  });
}

Tensor slice(const Tensor& x, int axis, int64_t begin, int64_t end, int64_t step) {
  const int a = checked_axis("slice", x.shape(), axis);
  const int64_t n = x.size(a);
  check<ArgumentError>(step > 0, "slice", "step must be positive, got ", step);
  check<RangeError>(0 <= begin && begin <= end && end <= n, "slice", "elements [", begin, ", ", end,
                    ") must lie within the ", n, " of axis ", a, " of shape ", x.shape());
  Shape shape = x.shape();
  shape[a] = (end - begin) / step + ((end - begin) % step != 0);
  std::vector<int64_t> strides = strides_of(x.shape());
  const int64_t offset = begin * strides[a];
  if (shape[a] > 1) strides[a] *= step;  // a lone element may have a step of any size
  return record("slice", strided_copy("slice", x, offset, shape, strides), {x},
                [from = x.shape(), a, begin, step](const Tensor& dz, Needs) -> Grads {
                  return {slice_backward(dz, from, a, begin, step)};
                });
}

void cuda::convert(const Tensor& from, const Tensor& to) {
  call("to", backend().shape->convert, from.dtype(), device_data(from), to.dtype(), device_data(to),
       from.numel());
}

void cuda::scatter_rows(const Tensor& rows, const Tensor& values, const Tensor& to) {
  const int64_t n = rows.numel();
  call("backward", backend().shape->scatter_rows, static_cast<const int64_t*>(device_data(rows)),
       device_data(values), n, n > 0 ? values.nbytes() / n : 0, device_data(to));
}

}  // namespace normlab
