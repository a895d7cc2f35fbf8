#include "casters.h"

#include <algorithm>

namespace normlab::bindings {
namespace {

std::string name_of(const py::dtype& dtype) {
  return py::str(py::object(dtype));
}

/// The engine's type for a NumPy one that it can share, else nullopt.
std::optional<DType> same_dtype(const py::dtype& dtype) {
  const char order = dtype.byteorder();
  if (order != '=' && order != '|') return std::nullopt;
  constexpr std::tuple<char, int, DType> kTypes[] = {
      {'f', 4, DType::float32}, {'f', 8, DType::float64}, {'i', 4, DType::int32},
      {'i', 8, DType::int64},   {'u', 1, DType::uint8},   {'b', 1, DType::boolean}};
  for (const auto& [kind, size, ours] : kTypes)
    if (dtype.kind() == kind && dtype.itemsize() == size) return ours;
  if (dtype.itemsize() == 2 && name_of(dtype) == "bfloat16") return DType::bfloat16;  // ml_dtypes'
  return std::nullopt;
}

/// The engine's type that holds a NumPy one's values best.
DType nearest_dtype(const py::dtype& dtype) {
  const auto size = dtype.itemsize();
  switch (dtype.kind()) {
    case 'b':
      return DType::boolean;
    case 'f':
      return size <= 4 ? DType::float32 : DType::float64;
    case 'i':
      return size <= 4 ? DType::int32 : DType::int64;
    case 'u':
      if (size == 1) return DType::uint8;
      return size == 2 ? DType::int32 : DType::int64;
  }
  if (name_of(dtype) == "bfloat16") return DType::bfloat16;
  fail<DtypeError>("tensor", "elements must be real numbers or booleans",
                   dtype.kind() == 'O' ? " of at most 64 bits" : "", ", got dtype ",
                   name_of(dtype));
}

/// uint64 has values that int64 lacks.
void check_fits(const py::array& array, DType dtype) {
  if (dtype != DType::int64 || array.dtype().kind() != 'u' || array.itemsize() != 8 ||
      array.size() == 0)
    return;
  const auto greatest = array.attr("max")().cast<uint64_t>();
  check<ArgumentError>(greatest <= static_cast<uint64_t>(INT64_MAX), "tensor", "value ", greatest,
                       " does not fit int64");
}

bool is_shareable(const py::array& array) {
  constexpr int kWanted = py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_ |
                          py::detail::npy_api::NPY_ARRAY_ALIGNED_ |
                          py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
  return (array.flags() & kWanted) == kWanted;
}

Shape shape_of(const py::array& array) {
  return Shape(std::span<const int64_t>(array.shape(), static_cast<size_t>(array.ndim())));
}

/// An int, exactly; a double beyond int64; nullopt beyond that too.
std::optional<Scalar> whole_number(PyObject* number) {
  int overflow = 0;
  const long long value = PyLong_AsLongLongAndOverflow(number, &overflow);
  if (overflow == 0) return Scalar(int64_t{value});
  const double rounded = PyLong_AsDouble(number);
  if (rounded != -1 || !PyErr_Occurred()) return Scalar(rounded);
  PyErr_Clear();
  return std::nullopt;
}

bool loses_gradient(py::handle source) {
  return py::isinstance<Tensor>(source) && source.cast<const Tensor&>().requires_grad() &&
         grad_enabled();
}

/// GradError for a tensor within nested lists whose gradient would be lost.
void check_lists(py::handle source) {
  const bool list = PyList_Check(source.ptr());
  if (!list && !PyTuple_Check(source.ptr())) return;
  const Py_ssize_t n = list ? PyList_GET_SIZE(source.ptr()) : PyTuple_GET_SIZE(source.ptr());
  for (Py_ssize_t i = 0; i < n; ++i) {
    const py::handle item =
        list ? PyList_GET_ITEM(source.ptr(), i) : PyTuple_GET_ITEM(source.ptr(), i);
    if (PyFloat_CheckExact(item.ptr()) || PyLong_CheckExact(item.ptr())) continue;
    check<GradError>(!loses_gradient(item), "tensor",
                     "a tensor in a list is copied without its gradient; nl.concat joins tensors "
                     "and keeps it, detach() takes the values alone");
    check_lists(item);
  }
}

bool is_array_like(py::handle source) {
  return PyObject_CheckBuffer(source.ptr()) || py::hasattr(source, "__array__") ||
         py::hasattr(source, "__array_interface__");
}

/// The package ml_dtypes', which NumPy knows by then.
py::dtype numpy_bfloat16() {
  py::object module;
  try {
    module = py::module_::import("ml_dtypes");
  } catch (const py::error_already_set& e) {
    if (!e.matches(PyExc_ImportError)) throw;
    fail<DtypeError>("dtype",
                     "NumPy has no bfloat16 without the package ml_dtypes (pip install ml_dtypes); "
                     "x.to('float32') converts");
  }
  return py::dtype::from_args(module.attr("bfloat16"));
}

}  // namespace

py::dtype numpy_dtype(DType dtype) {
  switch (dtype) {
    case DType::float32:
      return py::dtype::of<float>();
    case DType::float64:
      return py::dtype::of<double>();
    case DType::int32:
      return py::dtype::of<int32_t>();
    case DType::int64:
      return py::dtype::of<int64_t>();
    case DType::uint8:
      return py::dtype::of<uint8_t>();
    case DType::boolean:
      return py::dtype::of<bool>();
    case DType::bfloat16:
      break;
  }
  return numpy_bfloat16();
}

bool is_text(py::handle source, const char* text) {
  return PyUnicode_Check(source.ptr()) && PyUnicode_CompareWithASCIIString(source.ptr(), text) == 0;
}

DType dtype_from(py::handle source) {
  constexpr const char* kKnown =
      "must be one of float32, float64, bfloat16, int32, int64, uint8, bool, got ";
  // NumPy takes None for float64, and a tensor for its own dtype.
  check<DtypeError>(!source.is_none() && !py::isinstance<Tensor>(source), "dtype", kKnown,
                    source.is_none() ? "None" : "a tensor");
  if (is_text(source, "bfloat16")) return DType::bfloat16;
  check<DtypeError>(!is_text(source, "float"), "dtype",
                    "write float32 or float64: 'float' is the one to PyTorch, the other to NumPy");
  py::object dtype;
  try {
    dtype = py::dtype::from_args(py::reinterpret_borrow<py::object>(source));
  } catch (const py::error_already_set&) {
    fail<DtypeError>("dtype", kKnown, std::string(py::repr(source)));
  }
  const auto found = same_dtype(dtype);
  if (!found) fail<DtypeError>("dtype", kKnown, std::string(py::str(dtype)));
  return *found;
}

std::string class_name(py::handle object) {
  const std::string name = Py_TYPE(object.ptr())->tp_name;
  return name.substr(name.rfind('.') + 1);
}

void refuse_shell(py::handle object) {
  fail<ArgumentError>(class_name(object).c_str(), "call super().__init__() before anything else");
}

Tensor on_cpu(const Tensor& x) {
  if (x.device() == Device::cpu) return x;
  return without_gil([&] { return x.detach().to(Device::cpu); });
}

py::array numpy_view(const Tensor& x) {
  check<DeviceError>(x.device() == Device::cpu, "numpy", "the tensor is on ", x.device(),
                     ", whose memory NumPy cannot read; x.to('cpu') takes its values to the CPU");
  const Tensor owner = x.detach();
  const std::vector<py::ssize_t> lengths(x.shape().begin(), x.shape().end());
  return py::array(numpy_dtype(x.dtype()), lengths, x.raw(), py::cast(owner));
}

Tensor tensor_from_array(const py::array& array, std::optional<DType> dtype, bool copy) {
  const DType nearest = nearest_dtype(array.dtype());  // refuses what no dtype can hold
  const DType target = dtype.value_or(nearest);
  const bool integer = !carries_gradient(target) && target != DType::boolean;
  // NumPy would wrap integers around, and may have no bfloat16 to copy into: the engine converts.
  if (target != nearest && (integer || target == DType::bfloat16))
    return tensor_from_array(array, nearest).to(target);
  const Shape shape = shape_of(array);
  if (!copy && same_dtype(array.dtype()) == target && is_shareable(array)) {
    const std::shared_ptr<PyObject> owner(array.inc_ref().ptr(), release_python);
    return Tensor::wrap(const_cast<void*>(array.data()), shape, target, [owner] {});
  }
  check_fits(array, target);
  Tensor x = Tensor::empty(shape, target);
  if (x.numel() > 0) numpy_view(x)[py::ellipsis()] = array;
  return x;
}

Tensor tensor_from(py::handle source, std::optional<DType> dtype, bool copy) {
  if (py::isinstance<Tensor>(source)) {
    const Tensor x = source.cast<Tensor>().detach();
    if (dtype && *dtype != x.dtype()) return x.to(*dtype);
    return copy ? x.clone() : x;
  }
  if (py::isinstance<py::array>(source))
    return tensor_from_array(py::reinterpret_borrow<py::array>(source), dtype, copy);
  const auto object = py::reinterpret_borrow<py::object>(source);
  if (py::hasattr(source, "__dlpack__")) {
    const Tensor x = tensor_from_dlpack(object);
    if (dtype && *dtype != x.dtype()) return x.to(*dtype);
    return copy ? x.clone() : x;
  }
  check_lists(source);
  py::array array;
  try {
    array = py::module_::import("numpy").attr("asarray")(object);
  } catch (py::error_already_set& e) {
    if (!e.matches(PyExc_ValueError)) throw;
    fail("tensor",
         "a nested list must hold rows of one length (NumPy: ", std::string(py::str(e.value())),
         ")");
  }
  const bool python_floats = same_dtype(array.dtype()) == DType::float64 && !is_array_like(source);
  if (!dtype && python_floats) dtype = DType::float32;
  return tensor_from_array(array, dtype, copy);
}

namespace {

/// True for NumPy's complex scalars: float() cuts them to their real part and only warns.
bool is_complex(py::handle source) {
  const py::object dtype = py::getattr(source, "dtype", py::none());
  return py::str(py::getattr(dtype, "kind", py::none())).equal(py::str("c"));
}

}  // namespace

std::optional<Scalar> number_from(py::handle source, bool convert) {
  PyObject* const p = source.ptr();
  if (!p) return std::nullopt;
  if (PyFloat_Check(p)) return Scalar(PyFloat_AS_DOUBLE(p));
  if (PyLong_Check(p)) return whole_number(p);
  if (!convert) return std::nullopt;
  check<GradError>(!loses_gradient(source), "number",
                   "a number is wanted here, got a tensor that requires a gradient, which would be "
                   "lost; x.item() takes its value");
  if (PyIndex_Check(p)) {
    if (const auto index = py::reinterpret_steal<py::object>(PyNumber_Index(p)))
      return whole_number(index.ptr());
    PyErr_Clear();
  }
  if (is_complex(source)) return std::nullopt;
  const double value = PyFloat_AsDouble(p);
  if (value != -1 || !PyErr_Occurred()) return Scalar(value);
  PyErr_Clear();
  return std::nullopt;
}

std::optional<int64_t> integer_from(py::handle source) {
  if (!PyIndex_Check(source.ptr())) return std::nullopt;
  const auto index = py::reinterpret_steal<py::object>(PyNumber_Index(source.ptr()));
  int overflow = 0;
  const int64_t value = index ? PyLong_AsLongLongAndOverflow(index.ptr(), &overflow) : 0;
  PyErr_Clear();
  return index && overflow == 0 ? std::optional(value) : std::nullopt;
}

int narrow(int64_t value) {
  check<ArgumentError>(std::in_range<int>(value), "integer", "must fit 32 bits, got ", value);
  return static_cast<int>(value);
}

std::optional<uint64_t> seed_from(py::handle source) {
  if (!PyIndex_Check(source.ptr())) return std::nullopt;
  const auto number = py::reinterpret_steal<py::object>(PyNumber_Index(source.ptr()));
  if (!number) throw py::error_already_set();
  const auto seed = PyLong_AsUnsignedLongLong(number.ptr());
  if (!PyErr_Occurred()) return seed;
  PyErr_Clear();
  fail<ArgumentError>("seed", "must be from 0 to 2**64 - 1, got ", std::string(py::str(number)));
}

std::optional<std::vector<Tensor>> tensors_from(py::handle source) {
  if (py::isinstance<Tensor>(source)) return std::nullopt;
  const auto items = py::reinterpret_steal<py::iterator>(PyObject_GetIter(source.ptr()));
  if (!items) {
    PyErr_Clear();
    return std::nullopt;
  }
  std::vector<Tensor> tensors;
  for (const py::handle item : items) {
    if (!py::isinstance<Tensor>(item)) {
      // For a container, normlab._misuse names the item.
      check<DtypeError>(!PyIter_Check(source.ptr()), "tensors", "item ", tensors.size(),
                        " must be a Tensor, got ", Py_TYPE(item.ptr())->tp_name);
      return std::nullopt;
    }
    tensors.push_back(item.cast<Tensor>());
  }
  return tensors;
}

std::optional<std::vector<int64_t>> integers_from(py::handle source) {
  const auto integer = [](py::handle item) -> std::optional<int64_t> {
    if (!PyIndex_Check(item.ptr()) || PyBool_Check(item.ptr())) return std::nullopt;
    const py::ssize_t value = PyNumber_AsSsize_t(item.ptr(), PyExc_OverflowError);
    if (value != -1 || !PyErr_Occurred()) return value;
    if (!PyErr_ExceptionMatches(PyExc_OverflowError)) throw py::error_already_set();
    PyErr_Clear();
    fail<ArgumentError>("integer", "must fit 64 bits, got one of ",
                        item.attr("bit_length")().cast<py::ssize_t>(), " bits");
  };
  // Arrays have __index__ too, for one element.
  if (PyLong_Check(source.ptr()) ||
      (PyIndex_Check(source.ptr()) && !PySequence_Check(source.ptr())))
    if (const auto value = integer(source)) return std::vector{*value};
  if (!PySequence_Check(source.ptr()) || PyUnicode_Check(source.ptr()) ||
      PyBytes_Check(source.ptr()))
    return std::nullopt;
  if (PySequence_Size(source.ptr()) < 0) {  // a scalar tensor or array
    PyErr_Clear();
    if (const auto value = integer(source)) return std::vector{*value};
    return std::nullopt;
  }
  std::vector<int64_t> values;
  // An object, not a handle: arrays make their items as they are asked for.
  for (const py::object item : py::reinterpret_borrow<py::sequence>(source)) {
    const auto value = integer(item);
    if (!value) return std::nullopt;
    values.push_back(*value);
  }
  return values;
}

std::optional<std::vector<int>> axes_from(py::handle source) {
  const auto integers = integers_from(source);
  if (!integers) return std::nullopt;
  std::vector<int> axes(integers->size());
  std::ranges::transform(*integers, axes.begin(), narrow);
  return axes;
}

}  // namespace normlab::bindings
