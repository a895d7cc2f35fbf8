#include "casters.h"

namespace normlab::bindings {
namespace {

using Items = std::vector<py::object>;

bool is_integer(const py::object& item) {
  return PyIndex_Check(item.ptr()) && !PyBool_Check(item.ptr()) && !py::isinstance<Tensor>(item) &&
         !py::isinstance<py::array>(item);
}
bool is_slice(const py::object& item) {
  return PySlice_Check(item.ptr());
}
bool is_ellipsis(const py::object& item) {
  return item.ptr() == Py_Ellipsis;
}

/// An integer array or a mask, on `device` unless it is a tensor, which stays where it is;
/// DtypeError for anything else.
Tensor index_array(const py::object& item, Device device = Device::cpu) {
  const bool list = py::isinstance<py::list>(item) || py::isinstance<py::array>(item);
  check<DtypeError>(list || py::isinstance<Tensor>(item), "index",
                    "must be made of integers, slices, ..., None, integer arrays and masks, got ",
                    Py_TYPE(item.ptr())->tp_name);
  Tensor index = tensor_from(item);
  if (py::isinstance<py::list>(item) && index.numel() == 0) index = index.to(DType::int64);
  check<DtypeError>(!is_floating(index.dtype()), "index",
                    "an array of indices must hold integers or booleans, got ", index.dtype());
  if (index.dtype() == DType::uint8) index = index.to(DType::int64);
  return list ? index.to(device) : index;
}

/// How many of x's axes the item speaks of.
int axes_of(const py::object& item) {
  if (item.is_none() || is_ellipsis(item)) return 0;
  if (is_integer(item) || is_slice(item)) return 1;
  const Tensor index = index_array(item);
  return index.dtype() == DType::boolean ? index.rank() : 1;
}

Items items_of(const py::object& key) {
  if (!py::isinstance<py::tuple>(key)) return {key};
  Items items;
  for (const py::handle item : key) items.push_back(py::reinterpret_borrow<py::object>(item));
  return items;
}

Tensor insert_axis(const Tensor& x, int axis) {
  Shape shape = x.shape().sub(0, axis);
  shape.push_back(1);
  for (int i = axis; i < x.rank(); ++i) shape.push_back(x.size(i));
  return x.reshape(shape);
}

Tensor drop_axis(const Tensor& x, int axis) {
  Shape shape = x.shape().sub(0, axis);
  for (int i = axis + 1; i < x.rank(); ++i) shape.push_back(x.size(i));
  return x.reshape(shape);
}

Tensor pick(const Tensor& x, int axis, const py::object& item) {
  const py::ssize_t i = PyNumber_AsSsize_t(item.ptr(), PyExc_IndexError);
  if (i == -1 && PyErr_Occurred()) throw py::error_already_set();
  if (axis == 0) return x[i];
  const int64_t n = x.size(axis);
  check<RangeError>(-n <= i && i < n, "index", "position on axis ", axis, " must be in [", -n, ", ",
                    n, ") for shape ", x.shape(), ", got ", i);
  const int64_t at = i < 0 ? i + n : i;
  return drop_axis(without_gil([&] { return slice(x, axis, at, at + 1); }), axis);
}

Tensor cut(const Tensor& x, int axis, const py::object& item) {
  py::ssize_t begin = 0, end = 0, step = 0;
  if (PySlice_Unpack(item.ptr(), &begin, &end, &step) < 0) throw py::error_already_set();
  check<ArgumentError>(step > 0, "index", "a slice's step must be positive, got ", step,
                       "; reverse in NumPy: nl.tensor(x.numpy()[::-1])");
  const py::ssize_t count = PySlice_AdjustIndices(x.size(axis), &begin, &end, step);
  if (count == 0) end = begin;
  if (count == x.size(axis)) return x;
  if (axis == 0 && (step == 1 || count == 0)) return x.slice(begin, end);
  return without_gil([&] { return slice(x, axis, begin, end, step); });
}

/// Positions of true, row-major, on the mask's device; their number is needed, so this waits for
/// the GPU.
Tensor positions(const Tensor& mask) {
  std::vector<int64_t> found;
  const Tensor on_cpu = mask.to(Device::cpu);
  const bool* p = on_cpu.data<bool>();
  for (int64_t i = 0, n = mask.numel(); i < n; ++i)
    if (p[i]) found.push_back(i);
  return Tensor::of({static_cast<int64_t>(found.size())}, found).to(mask.device());
}

/// x[mask]: the mask covers x's first axes.
Tensor select(const Tensor& x, const Tensor& mask) {
  const int covered = mask.rank();
  check(covered >= 1 && covered <= x.rank() && mask.shape() == x.shape().sub(0, covered), "index",
        "a mask must have the shape ", x.shape(), " of the tensor or of its first axes, got ",
        mask.shape());
  Shape rows({mask.numel()});
  for (int i = covered; i < x.rank(); ++i) rows.push_back(x.size(i));
  return take(x.reshape(rows), positions(mask));
}

}  // namespace

Tensor tensor_index(const Tensor& x, const py::object& key) {
  const Items items = items_of(key);
  int named = 0, ellipses = 0;
  for (const py::object& item : items) {
    named += axes_of(item);
    ellipses += is_ellipsis(item);
  }
  check<RangeError>(named <= x.rank(), "index", "too many indices: shape ", x.shape(), " has ",
                    x.rank(), " axes, got ", named);
  check<RangeError>(ellipses <= 1, "index", "there may be one ... only, got ", ellipses);

  Tensor z = x;
  int axis = 0;           // of z, the next to be spoken of
  std::vector<int> news;  // axes of length 1, inserted last so that slices can share storage
  for (const py::object& item : items) {
    if (is_ellipsis(item)) {
      axis += x.rank() - named;
    } else if (item.is_none()) {
      news.push_back(axis + static_cast<int>(news.size()));
    } else if (is_integer(item)) {
      z = pick(z, axis, item);
    } else if (is_slice(item)) {
      z = cut(z, axis++, item);
    } else {
      check<RangeError>(axis == 0 && z.rank() == x.rank(), "index",
                        "an array of indices or a mask must be the first index; transpose() to "
                        "bring its axis to the front, or use nl.gather");
      const Tensor index = index_array(item, x.device());
      const bool mask = index.dtype() == DType::boolean;
      z = without_gil([&] { return mask ? select(z, index) : take(z, index); });
      axis = mask ? 1 : index.rank();
    }
  }
  for (const int at : news) z = insert_axis(z, at);
  return z;
}

}  // namespace normlab::bindings
