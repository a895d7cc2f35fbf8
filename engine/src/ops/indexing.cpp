#include "ops/indexing.h"

#include <algorithm>
#include <cstring>

#include "core/dispatch.h"
#include "core/tensor_impl.h"
#include "cpu/parallel.h"
#include "cuda/library.h"
#include "normlab/ops.h"
#include "ops/indexing_cuda.h"

namespace normlab {
namespace {

void check_index(const char* op, const Tensor& x, const Tensor& index) {
  check<DtypeError>(index.dtype() == DType::int32 || index.dtype() == DType::int64, op,
                    "index must be int32 or int64, got ", index.dtype());
  check<DeviceError>(index.device() == x.device(), op, "index must be on ", x.device(),
                     " as what it indexes, is on ", index.device());
}

/// The indices as int64 in [0, n); RangeError with place and value where one is not in [least, n).
/// Negative ones count from the end.
Tensor checked_index(const char* op, const Tensor& index, int64_t n, int64_t least) {
  Tensor wrapped = Tensor::empty(index.shape(), DType::int64);
  int64_t* to = wrapped.data<int64_t>();
  dispatch(index.dtype(), [&]<class T>() {
    const T* from = index.data<T>();
    const int64_t count = index.numel();
    bool fits = true;
    for (int64_t k = 0; k < count; ++k) {
      const int64_t i = static_cast<int64_t>(from[k]);
      fits &= (least <= i) & (i < n);
      to[k] = i < 0 ? i + n : i;
    }
    for (int64_t k = 0; !fits && k < count; ++k)
      check<RangeError>(least <= from[k] && from[k] < n, op, "index must be in [", least, ", ", n,
                        "), got ", from[k], " at ", position(index.shape(), k));
  });
  return wrapped;
}

// --- rows of the first axis -------------------------------------------------------------------

Shape taken_shape(const Tensor& x, const Tensor& index) {
  Shape shape = index.shape();
  for (int i = 1; i < x.rank(); ++i) shape.push_back(x.size(i));
  return shape;
}

/// Rows of the first axis of x, `index` already checked.
Tensor taken(const Tensor& x, const Tensor& index) {
  Tensor z = Tensor::empty(taken_shape(x, index), x.dtype());
  if (z.numel() == 0) return z;
  const int64_t bytes = z.nbytes() / index.numel();
  const int64_t* at = index.data<int64_t>();
  const char* from = static_cast<const char*>(x.raw());
  char* to = static_cast<char*>(z.raw());
  parallel_blocks(index.numel(), 64, bytes / 4, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k)
      std::memcpy(to + k * bytes, from + at[k] * bytes, static_cast<size_t>(bytes));
  });
  return z;
}

/// Places of the indices other than `without`, sorted by index, equal ones as they came.
std::vector<int64_t> sorted_places(const int64_t* index, int64_t count,
                                   std::optional<int64_t> without) {
  std::vector<int64_t> places;
  places.reserve(static_cast<size_t>(count));
  for (int64_t k = 0; k < count; ++k)
    if (!without || index[k] != *without) places.push_back(k);
  std::ranges::stable_sort(places, {}, [index](int64_t k) { return index[k]; });
  return places;
}

/// Where each run of equal indices begins, and the end.
std::vector<int64_t> runs_of(const int64_t* index, const std::vector<int64_t>& places) {
  std::vector<int64_t> begins;
  for (size_t k = 0; k < places.size(); ++k)
    if (k == 0 || index[places[k]] != index[places[k - 1]])
      begins.push_back(static_cast<int64_t>(k));
  begins.push_back(static_cast<int64_t>(places.size()));
  return begins;
}

// --- elements along an axis -------------------------------------------------------------------

void check_gather(const Tensor& x, int axis, const Tensor& index) {
  bool fits = index.rank() == x.rank();
  for (int i = 0; fits && i < x.rank(); ++i) fits = i == axis || index.size(i) <= x.size(i);
  check(fits, "gather", "index must have the rank of x ", x.shape(),
        " and be at most as long on every axis but ", axis, ", got ", index.shape());
}

/// Calls body(place in x, place in index) for every element of index, in order within each of
/// `tasks` equal parts, which may run side by side. A part holds whole lines of the last axis.
template <class Body>
void for_gathered(const Shape& x, int axis, const Tensor& index, int64_t tasks, const Body& body) {
  if (index.numel() == 0) return;
  const int rank = x.rank();
  int64_t lengths[Shape::kMaxRank], steps[Shape::kMaxRank];
  for (int i = 0; i < rank; ++i) {
    lengths[i] = index.size(i);
    steps[i] = i == axis ? 0 : x.numel(i + 1, rank);
  }
  const int64_t line = lengths[rank - 1], walk = steps[rank - 1], step = x.numel(axis + 1, rank);
  const int64_t part = index.numel() / tasks;
  const int64_t* along = index.data<int64_t>();
  parallel_for(tasks, part, [&](int64_t task) {
    for (int64_t k = task * part; k < (task + 1) * part; k += line) {
      int64_t base = 0, rest = k / line;
      for (int i = rank - 2; i >= 0; rest /= lengths[i--]) base += rest % lengths[i] * steps[i];
      for (int64_t j = 0; j < line; ++j) body(base + along[k + j] * step + walk * j, k + j);
    }
  });
}

Tensor gather_backward(const Tensor& dz, const Shape& shape, int axis, const Tensor& index) {
  if (is_stored_only(dz))
    return gather_backward(dz.to(DType::float32), shape, axis, index).to(DType::bfloat16);
  Tensor dx = Tensor::zeros(shape, dz.dtype());
  dispatch_floating("gather", dz.dtype(), [&]<class T>() {
    const T* from = dz.data<T>();
    T* to = dx.data<T>();
    // Slices of the axes before `axis` share no element of x.
    for_gathered(shape, axis, index, index.shape().numel(0, axis),
                 [&](int64_t in_x, int64_t k) { to[in_x] += from[k]; });
  });
  return dx;
}

// --- on the GPU -------------------------------------------------------------------------------

/// The byte of what a bad index gives: of floating types NaN, else 0.
int missing_byte(DType dtype) {
  return carries_gradient(dtype) ? 0xff : 0;
}

int64_t* rows_on_gpu(const Tensor& at) {
  return at ? static_cast<int64_t*>(device_data(at)) : nullptr;
}

/// The rows of dz summed by at [...], where negative means none: the gradient of a tensor [rows,
/// width] that they were taken from. `shape` is that tensor's own.
Tensor scattered_on_gpu(const char* op, const Tensor& dz, const Tensor& at, const Shape& shape,
                        int64_t rows, std::optional<int64_t> without = std::nullopt) {
  const cuda::IndexFunctions& gpu = *cuda::backend().index;
  const int64_t width = rows > 0 ? shape.numel() / rows : 0, count = at.numel();
  const Tensor dx = Tensor::empty(shape, dz.dtype(), Device::cuda);
  const Tensor scratch =
      Tensor::empty({gpu.scatter_scratch(count, width)}, DType::uint8, Device::cuda);
  const cuda::ScatterArgs args{.dtype = dz.dtype(),
                               .at = rows_on_gpu(at),
                               .count = count,
                               .without = without.value_or(-1),
                               .dz = device_data(dz),
                               .rows = rows,
                               .width = width,
                               .dx = device_data(dx),
                               .scratch = device_data(scratch)};
  cuda::call(op, gpu.scatter, args);
  return dx;
}

Tensor gathered_on_gpu(const Tensor& x, int axis, const Tensor& index, const Tensor& elements) {
  const Tensor z = Tensor::empty(index.shape(), x.dtype(), Device::cuda);
  cuda::GatherArgs args{};
  args.x = device_data(x);
  args.n = x.size(axis);
  args.step = x.shape().numel(axis + 1, x.rank());
  args.rank = index.rank();
  for (int i = 0; i < args.rank; ++i) {
    args.lengths[i] = index.size(i);
    args.steps[i] = i == axis ? 0 : x.shape().numel(i + 1, x.rank());
  }
  args.index = device_data(index);
  args.index_dtype = index.dtype();
  args.count = index.numel();
  args.item = size_of(x.dtype());
  args.missing = missing_byte(x.dtype());
  args.z = device_data(z);
  args.elements = rows_on_gpu(elements);
  args.check = cuda::value_check("gather", index.shape(), args.n);
  cuda::call("gather", cuda::backend().index->gather, args);
  return z;
}

/// One thread a line is enough up to this length; longer ones are sorted.
constexpr int64_t kShortLine = 64;

Tensor gather_backward_on_gpu(const Tensor& dz, const Shape& shape, int axis,
                              const Tensor& elements) {
  const int64_t length = elements.size(axis);
  if (length > kShortLine) return scattered_on_gpu("gather", dz, elements, shape, shape.numel());
  const Tensor dx = Tensor::zeros(shape, dz.dtype(), Device::cuda);
  const Shape& of = elements.shape();
  cuda::call("gather", cuda::backend().index->scatter_lines, dz.dtype(), rows_on_gpu(elements),
             of.numel(0, axis), length, of.numel(axis + 1, of.rank()), device_data(dz),
             device_data(dx));
  return dx;
}

Tensor gather_on_gpu(const Tensor& x, int axis, const Tensor& index) {
  const Tensor elements =
      needs_grad({x}) ? Tensor::empty(index.shape(), DType::int64, Device::cuda) : Tensor();
  return record("gather", gathered_on_gpu(x, axis, index, elements), {x},
                [shape = x.shape(), axis, elements](const Tensor& dz, Needs) -> Grads {
                  return {gather_backward_on_gpu(dz, shape, axis, elements)};
                });
}

}  // namespace

Tensor taken_on_gpu(const char* op, const Tensor& x, const Tensor& index, cuda::FaultKind kind,
                    std::optional<int64_t> without) {
  const int64_t n = x.size(0);
  const Tensor z = Tensor::empty(taken_shape(x, index), x.dtype(), Device::cuda);
  const Tensor rows =
      needs_grad({x}) ? Tensor::empty({index.numel()}, DType::int64, Device::cuda) : Tensor();
  const cuda::TakeArgs args{.x = device_data(x),
                            .n = n,
                            .bytes = x.shape().numel(1, x.rank()) * size_of(x.dtype()),
                            .index = device_data(index),
                            .index_dtype = index.dtype(),
                            .count = index.numel(),
                            .kind = kind,
                            .missing = missing_byte(x.dtype()),
                            .z = device_data(z),
                            .rows = rows_on_gpu(rows),
                            .check = cuda::value_check(op, index.shape(), n)};
  cuda::call(op, cuda::backend().index->take, args);
  return record(op, z, {x},
                [op, shape = x.shape(), rows, without](const Tensor& dz, Needs) -> Grads {
                  return {scattered_on_gpu(op, dz, rows, shape, shape[0], without)};
                });
}

SparseRows summed_rows(const Tensor& dz, const Tensor& index, const Shape& shape,
                       std::optional<int64_t> without) {
  if (is_stored_only(dz)) {
    SparseRows sums = summed_rows(dz.to(DType::float32), index, shape, without);
    sums.values = sums.values.to(DType::bfloat16);
    return sums;
  }
  const int64_t* at = index.data<int64_t>();
  const std::vector<int64_t> places = sorted_places(at, index.numel(), without);
  const std::vector<int64_t> begins = runs_of(at, places);
  const int64_t rows = static_cast<int64_t>(begins.size()) - 1,
                width = shape.numel(1, shape.rank());
  Shape values = shape;
  values[0] = rows;
  SparseRows sums{Tensor::empty({rows}, DType::int64), Tensor::empty(values, dz.dtype()), shape};
  int64_t* row = sums.rows.data<int64_t>();
  dispatch_floating("take", dz.dtype(), [&]<class T>() {
    const T* from = dz.data<T>();
    T* to = sums.values.data<T>();
    const IndexingKernels& kernels = indexing_kernels_for_cpu();
    parallel_blocks(rows, 16, 2 * width, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const int64_t* run = places.data() + begins[r];
        const int64_t count = begins[r + 1] - begins[r];
        row[r] = at[*run];
        if constexpr (std::is_same_v<T, float>)
          kernels.sum_float(from, run, count, width, to + r * width);
        else
          kernels.sum_double(from, run, count, width, to + r * width);
      }
    });
  });
  return sums;
}

Tensor gather(const Tensor& x, int axis, const Tensor& index) {
  const int a = x.shape().wrap(axis, "gather");
  check_gather(x, a, index);
  check_index("gather", x, index);
  if (x.device() == Device::cuda) return gather_on_gpu(x, a, index);
  const Tensor at = checked_index("gather", index, x.size(a), -x.size(a));
  Tensor z = Tensor::empty(at.shape(), x.dtype());
  dispatch_stored(x.dtype(), [&]<class T>() {
    const T* from = x.data<T>();
    T* to = z.data<T>();
    for_gathered(x.shape(), a, at, at.shape().numel(0, at.rank() - 1),
                 [&](int64_t in_x, int64_t k) { to[k] = from[in_x]; });
  });
  return record("gather", z, {x}, [shape = x.shape(), a, at](const Tensor& dz, Needs) -> Grads {
    return {gather_backward(dz, shape, a, at)};
  });
}

Tensor take(const Tensor& x, const Tensor& index) {
  check(x.rank() > 0, "take", "x must have at least one axis, got a scalar");
  check_index("take", x, index);
  if (x.device() == Device::cuda) return taken_on_gpu("take", x, index, cuda::FaultKind::index);
  const Tensor at = checked_index("take", index, x.size(0), -x.size(0));
  return record("take", taken(x, at), {x},
                [shape = x.shape(), at](const Tensor& dz, Needs) -> Grads {
                  return {summed_rows(dz, at, shape).dense()};
                });
}

Tensor embedding(const Tensor& weight, const Tensor& index, std::optional<int64_t> padding_index) {
  check_carries_gradient("embedding", "weight", weight);
  check(weight.rank() == 2, "embedding", "weight must be [V, D], got ", weight.shape());
  const int64_t n = weight.size(0);
  if (padding_index) {
    check<RangeError>(-n <= *padding_index && *padding_index < n, "embedding",
                      "padding_index must be in [", -n, ", ", n, "), got ", *padding_index);
    if (*padding_index < 0) *padding_index += n;
  }
  check_index("embedding", weight, index);
  if (weight.device() == Device::cuda)
    return taken_on_gpu("embedding", weight, index, cuda::FaultKind::row, padding_index);
  const Tensor at = checked_index("embedding", index, n, 0);
  return record("embedding", taken(weight, at), {weight},
                [shape = weight.shape(), at, padding_index](const Tensor& dz, Needs) -> Grads {
                  return {summed_rows(dz, at, shape, padding_index)};
                });
}

}  // namespace normlab
