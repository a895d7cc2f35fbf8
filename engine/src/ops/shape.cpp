#include "ops/shape.h"

#include <algorithm>
#include <numeric>

#include "core/dispatch.h"
#include "core/gpu.h"
#include "core/joined_axes.h"
#include "core/tensor_impl.h"
#include "cpu/parallel.h"
#include "cuda/library.h"
#include "normlab/ops.h"
#include "ops/broadcast.h"
#include "ops/shape_cuda.h"

namespace normlab {
namespace {

/// One axis of a strided copy: its length, and how far apart its elements lie in source and result.
struct Axis {
  int64_t length, from, to;
};

/// The axes as a list, innermost first.
std::vector<Axis> list_of(const JoinedAxes& axes) {
  std::vector<Axis> list;
  for (int i = 0; i < axes.rank; ++i)
    list.push_back({axes.lengths[i], axes.steps[0][i], axes.steps[1][i]});
  return list;
}

/// Takes one axis out of the list.
Axis remove(std::vector<Axis>& axes, size_t i) {
  const Axis axis = axes[i];
  axes.erase(axes.begin() + static_cast<int64_t>(i));
  return axis;
}

/// Where element k of the space spanned by `axes` lies in source and result.
Axis place_of(const std::vector<Axis>& axes, int64_t k) {
  Axis place{1, 0, 0};
  for (const Axis& axis : axes) {
    place.from += k % axis.length * axis.from;
    place.to += k % axis.length * axis.to;
    k /= axis.length;
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
  if (row.from == 1 && row.to == 1)
    std::copy_n(from, row.length, to);
  else if (row.from == 0 && row.to == 1)
    std::fill_n(to, row.length, *from);
  else
    for (int64_t i = 0; i < row.length; ++i) to[i * row.to] = from[i * row.from];
}

/// Copies row by row of the result.
template <class T>
void copy_rows(const T* from, T* to, std::vector<Axis> axes) {
  const Axis row = remove(axes, 0);
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
  const Axis column = remove(axes, source_axis), row = remove(axes, 0);
  const int64_t strips = (column.length + side - 1) / side;
  parallel_for(size_of_space(axes) * strips, side * row.length, [&](int64_t k) {
    const Axis at = place_of(axes, k / strips);
    const int64_t i = k % strips * side, rows = std::min(side, column.length - i);
    for (int64_t j = 0; j < row.length; j += side)
      copy_tile(from + at.from + i + j * row.from, row.from, to + at.to + i * column.to + j,
                column.to, rows, std::min(side, row.length - j));
  });
}

template <class T>
void copy_on_cpu(const void* from, void* to, const std::vector<Axis>& axes) {
  const auto unit = std::ranges::find(axes, 1, &Axis::from);
  const auto* source = static_cast<const T*>(from);
  if (axes[0].from > 1 && axes[0].to == 1 && unit != axes.end())
    copy_tiles(source, static_cast<T*>(to), axes, static_cast<size_t>(unit - axes.begin()));
  else
    copy_rows(source, static_cast<T*>(to), axes);
}

/// Elements within a tensor: the first one's place, and how far apart they lie along each axis.
struct Stretch {
  const Tensor& tensor;
  int64_t offset;
  std::vector<int64_t> strides;

  void* first() const {
    return static_cast<char*>(device_data(tensor)) + offset * size_of(tensor.dtype());
  }
};

/// Copies the elements of a space of that shape, on the tensors' device.
void copy_stretch(const char* op, const Stretch& from, const Stretch& to, const Shape& shape) {
  if (shape.numel() == 0) return;
  JoinedAxes axes;
  axes.tensors = 2;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    const int64_t steps[2] = {from.strides[i], to.strides[i]};
    if (shape[i] != 1) axes.add(shape[i], steps);
  }
  axes.finish();
  const int64_t item = size_of(from.tensor.dtype());
  if (from.tensor.device() == Device::cuda)
    return cuda::call(op, cuda::backend().shape->copy, item, from.first(), to.first(), axes);
  const auto copy = item == 8   ? copy_on_cpu<uint64_t>
                    : item == 4 ? copy_on_cpu<uint32_t>
                    : item == 2 ? copy_on_cpu<uint16_t>
                                : copy_on_cpu<uint8_t>;
  copy(from.first(), to.first(), list_of(axes));
}

std::vector<int64_t> strides_of(const Shape& shape) {
  std::vector<int64_t> strides(shape.rank());
  for (int i = 0; i < shape.rank(); ++i) strides[i] = shape.numel(i + 1, shape.rank());
  return strides;
}

/// All of a tensor.
Stretch whole(const Tensor& x) {
  return {x, 0, strides_of(x.shape())};
}

/// The part of x of that length along `axis`: elements begin, begin + step, ...
Stretch part_of(const Tensor& x, int axis, int64_t begin, int64_t step, int64_t length) {
  Stretch part = whole(x);
  part.offset = begin * part.strides[axis];
  if (length > 1) part.strides[axis] *= step;  // a lone element may have a step of any size
  return part;
}

/// The elements as a tensor of that shape; a copy, off the tape.
Tensor copy_of(const char* op, const Stretch& from, const Shape& shape) {
  const Tensor z = Tensor::empty(shape, from.tensor.dtype(), from.tensor.device());
  copy_stretch(op, from, whole(z), shape);
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
  return copy_of("transpose", {x, 0, strides}, shape);
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
    axes[i] = shape.wrap(order[i], "transpose");
    check<ArgumentError>(!seen[axes[i]], "transpose", "order must name every axis of shape ", shape,
                         " once, got axis ", order[i], " twice");
    seen[axes[i]] = true;
  }
  return axes;
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
    check(!__builtin_add_overflow(shape[axis], part[axis], &shape[axis]), "concat", "axis ", axis,
          " of the result is longer than an integer can say");
  }
  return shape;
}

}  // namespace

Tensor expand(const Tensor& x, const Shape& shape) {
  std::vector<int64_t> strides = strides_of(x.shape());
  for (int i = 0; i < x.rank(); ++i)
    if (x.size(i) == 1) strides[i] = 0;
  strides.insert(strides.begin(), shape.rank() - x.rank(), 0);
  return copy_of("expand", {x, 0, strides}, shape);
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
  const int first = x.shape().wrap(from, "flatten");
  const int last = x.shape().wrap(to, "flatten");
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
  const int a = parts[0].shape().wrap(axis, "concat");
  const Tensor z = Tensor::empty(concat_shape(parts, a), parts[0].dtype(), parts[0].device());
  int64_t begin = 0;
  std::vector<Shape> shapes;
  for (const Tensor& part : parts) {
    copy_stretch("concat", whole(part), part_of(z, a, begin, 1, part.size(a)), part.shape());
    begin += part.size(a);
    shapes.push_back(part.shape());
  }
  return record("concat", z, parts, [shapes, a](const Tensor& dz, Needs needs) -> Grads {
    Grads grads(shapes.size());
    int64_t begin = 0;
    for (size_t k = 0; k < shapes.size(); begin += shapes[k++][a]) {
      if (!needs[k]) continue;
      grads[k] = copy_of("concat", part_of(dz, a, begin, 1, shapes[k][a]), shapes[k]);
    }
    return grads;
  });
}

Tensor slice(const Tensor& x, int axis, int64_t begin, int64_t end, int64_t step) {
  const int a = x.shape().wrap(axis, "slice");
  const int64_t n = x.size(a);
  check<ArgumentError>(step > 0, "slice", "step must be positive, got ", step);
  check<RangeError>(0 <= begin && begin <= end && end <= n, "slice", "elements [", begin, ", ", end,
                    ") must lie within the ", n, " of axis ", a, " of shape ", x.shape());
  Shape shape = x.shape();
  shape[a] = (end - begin) / step + ((end - begin) % step != 0);
  return record("slice", copy_of("slice", part_of(x, a, begin, step, shape[a]), shape), {x},
                [from = x.shape(), a, begin, step](const Tensor& dz, Needs) -> Grads {
                  const Tensor dx = Tensor::zeros(from, dz.dtype(), dz.device());
                  copy_stretch("slice", whole(dz), part_of(dx, a, begin, step, dz.size(a)),
                               dz.shape());
                  return {dx};
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
