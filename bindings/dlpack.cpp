#include "dlpack.h"

namespace normlab::bindings {
namespace {

DLDataType dlpack_dtype(DType dtype) {
  const auto bits = static_cast<uint8_t>(8 * size_of(dtype));
  switch (dtype) {
    case DType::float32:
    case DType::float64:
      return {kDLFloat, bits, 1};
    case DType::int32:
    case DType::int64:
      return {kDLInt, bits, 1};
    case DType::uint8:
      return {kDLUInt, bits, 1};
    case DType::boolean:
      return {kDLBool, bits, 1};
    case DType::bfloat16:
      return {kDLBfloat, bits, 1};
  }
  fail<DtypeError>("dlpack", "unknown dtype");
}

py::dtype numpy_dtype(const DLDataType& t) {
  std::string name;
  if (t.code == kDLFloat) name = "float";
  if (t.code == kDLInt) name = "int";
  if (t.code == kDLUInt) name = "uint";
  if (t.code == kDLBool) return py::dtype::of<bool>();
  check<DtypeError>(!name.empty() && t.lanes == 1 && t.bits % 8 == 0, "from_dlpack",
                    "elements must be real numbers or booleans, got DLPack type code ", int{t.code},
                    " with ", int{t.bits}, " bits");
  return py::dtype(name + std::to_string(t.bits));
}

/// The handle and the axis lengths that a DLTensor points to. The consumer's deleter frees them.
template <class Managed>
struct Export {
  Managed managed{};
  Tensor x;
  bool elsewhere = false;  ///< what the consumer does is not in order with our stream
  int64_t shape[Shape::kMaxRank] = {}, strides[Shape::kMaxRank] = {};
};

template <class Managed>
Managed* managed(const Tensor& x, [[maybe_unused]] bool copied, bool elsewhere) {
  auto* e = new Export<Managed>;
  e->x = x;
  e->elsewhere = elsewhere;
  const int rank = x.rank();
  for (int i = 0; i < rank; ++i) {
    e->shape[i] = x.size(i);
    e->strides[i] = x.shape().numel(i + 1, rank);
  }
  const bool gpu = x.device() == Device::cuda;
  e->managed.tensor = {gpu ? cuda::data(x) : x.raw(),
                       {gpu ? kDLCUDA : kDLCPU, 0},
                       rank,
                       dlpack_dtype(x.dtype()),
                       e->shape,
                       e->strides,
                       0};
  e->managed.owner = e;
  e->managed.deleter = [](Managed* m) {
    auto* own = static_cast<Export<Managed>*>(m->owner);
    if (own->elsewhere) cuda::keep_for_others(own->x);
    delete own;
  };
  if constexpr (std::is_same_v<Managed, DLManagedTensorVersioned>) {
    e->managed.major = 1;
    e->managed.flags = copied ? kCopied : 0;
  }
  return &e->managed;
}

template <class Managed>
py::capsule export_as(const Tensor& x, bool copied, bool elsewhere) {
  Managed* const exported = managed<Managed>(x, copied, elsewhere);
  PyObject* capsule = PyCapsule_New(exported, Managed::kName, [](PyObject* self) {
    if (!PyCapsule_IsValid(self, Managed::kName)) return;  // a consumer has taken it
    auto* m = static_cast<Managed*>(PyCapsule_GetPointer(self, Managed::kName));
    m->deleter(m);
  });
  if (!capsule) {
    exported->deleter(exported);
    throw py::error_already_set();
  }
  return py::reinterpret_steal<py::capsule>(capsule);
}

/// DeviceError unless it is the CPU or the first GPU.
void check_device(int type, int id) {
  if (type == kDLCUDA) cuda::properties();
  const bool cpu = type == kDLCPU || type == kDLCUDAHost;
  check<DeviceError>(cpu || (type == kDLCUDA && id == 0), "from_dlpack",
                     "the memory must be the CPU's or the first GPU's, got DLPack device type ",
                     type, ", number ", id);
}

/// Takes the capsule. The result calls the exporter's deleter at its end.
template <class Managed>
py::capsule owner_of(Managed* m, const py::object& capsule) {
  py::capsule owner(m, [](void* p) {
    auto* managed = static_cast<Managed*>(p);
    if (managed->deleter) managed->deleter(managed);
  });
  PyCapsule_SetName(capsule.ptr(), Managed::kUsed);
  return owner;
}

bool is_bfloat16(const DLDataType& t) {
  return t.code == kDLBfloat && t.bits == 16 && t.lanes == 1;
}

/// A NumPy array on the CPU's memory; of bfloat16, which NumPy has not, its bits.
template <class Managed>
py::array array_on(Managed* m, const py::object& capsule) {
  const DLTensor& t = m->tensor;
  const py::dtype dtype = is_bfloat16(t.dtype) ? py::dtype::of<uint16_t>() : numpy_dtype(t.dtype);
  const std::vector<py::ssize_t> shape(t.shape, t.shape + t.ndim);
  std::vector<py::ssize_t> strides;
  if (t.strides)
    for (int i = 0; i < t.ndim; ++i) strides.push_back(t.strides[i] * dtype.itemsize());
  const py::capsule owner = owner_of(m, capsule);
  auto* data = static_cast<char*>(t.data) + t.byte_offset;
  py::array array(dtype, shape, strides, data, owner);
  if constexpr (std::is_same_v<Managed, DLManagedTensorVersioned>)
    if (m->flags & kReadOnly) array.attr("flags").attr("writeable") = false;
  return array;
}

/// A tensor on a NumPy array of the bits of bfloat16, or on a copy that is contiguous and writable.
Tensor bfloat16_on(py::array bits) {
  constexpr int kWanted =
      py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_ | py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
  if ((bits.flags() & kWanted) != kWanted) bits = bits.attr("copy")();
  const std::vector<int64_t> lengths(bits.shape(), bits.shape() + bits.ndim());
  void* const data = bits.mutable_data();
  const std::shared_ptr<PyObject> owner(bits.release().ptr(), release_python);
  return Tensor::wrap(data, Shape(std::span<const int64_t>(lengths)), DType::bfloat16, [owner] {});
}

/// `where` is a part of the error's text.
DType dtype_of(const DLDataType& t, const char* op, const char* where) {
  for (const DType dtype : {DType::float32, DType::float64, DType::bfloat16, DType::int32,
                            DType::int64, DType::uint8, DType::boolean}) {
    const DLDataType ours = dlpack_dtype(dtype);
    if (t.code == ours.code && t.bits == ours.bits && t.lanes == 1) return dtype;
  }
  fail<DtypeError>(op, where, "elements must be float32, float64, bfloat16, int32, ",
                   "int64, uint8 or bool, got DLPack type code ", int{t.code}, " with ",
                   int{t.bits}, " bits");
}

/// True for elements in C order. Strides of axes of length 0 and 1 do not count.
bool is_contiguous(const DLTensor& t) {
  int64_t step = 1;
  for (int i = t.ndim - 1; i >= 0; --i) {
    if (t.shape[i] == 0) return true;
    if (t.strides && t.shape[i] > 1 && t.strides[i] != step) return false;
    step *= t.shape[i];
  }
  return true;
}

/// A tensor on the GPU's memory.
template <class Managed>
Tensor tensor_on(Managed* m, const py::object& capsule) {
  const DLTensor& t = m->tensor;
  const DType dtype = dtype_of(t.dtype, "from_dlpack", "on cuda ");
  const Shape shape(std::span<const int64_t>(t.shape, static_cast<size_t>(t.ndim)));
  check(is_contiguous(t), "from_dlpack", "on cuda memory must be contiguous; shape ", shape,
        " has other strides, copy it first");
  auto* data = static_cast<char*>(t.data) + t.byte_offset;
  const std::shared_ptr<PyObject> owner(owner_of(m, capsule).release().ptr(), release_python);
  Tensor x = Tensor::wrap(
      data, shape, dtype, [owner] {}, Device::cuda);
  if constexpr (std::is_same_v<Managed, DLManagedTensorVersioned>)
    if (m->flags & kReadOnly) return x.clone();
  return x;
}

template <class Managed>
Tensor import_as(const py::object& capsule) {
  auto* m = static_cast<Managed*>(PyCapsule_GetPointer(capsule.ptr(), Managed::kName));
  if (!m) throw py::error_already_set();
  check_device(m->tensor.device.type, m->tensor.device.id);
  if (m->tensor.device.type == kDLCUDA) return tensor_on(m, capsule);
  const bool bits = is_bfloat16(m->tensor.dtype);
  const py::array array = array_on(m, capsule);
  return bits ? bfloat16_on(array) : tensor_from_array(array);
}

/// ArgumentError for a capsule that a consumer has taken.
void check_capsule(const py::object& capsule) {
  const auto is = [&](const char* name) { return PyCapsule_IsValid(capsule.ptr(), name); };
  check<ArgumentError>(!is(DLManagedTensor::kUsed) && !is(DLManagedTensorVersioned::kUsed),
                       "from_dlpack",
                       "a capsule can be taken once, and this one has been; make another "
                       "with x.__dlpack__(), or give x itself");
  check<DtypeError>(is(DLManagedTensor::kName) || is(DLManagedTensorVersioned::kName),
                    "from_dlpack", "needs a DLPack capsule, got ", Py_TYPE(capsule.ptr())->tp_name);
}

Tensor tensor_from_capsule(const py::object& capsule) {
  check_capsule(capsule);
  const bool versioned = PyCapsule_IsValid(capsule.ptr(), DLManagedTensorVersioned::kName);
  return versioned ? import_as<DLManagedTensorVersioned>(capsule)
                   : import_as<DLManagedTensor>(capsule);
}

/// The exporter lets our stream wait for what computes the memory's values.
py::object capsule_of(const py::object& source, bool gpu) {
  const py::object method = source.attr("__dlpack__");
  py::dict how;
  if (gpu) how["stream"] = reinterpret_cast<uintptr_t>(cuda::native_stream());
  try {
    return method(py::arg("max_version") = py::make_tuple(1, 0), **how);
  } catch (py::error_already_set& e) {
    if (!e.matches(PyExc_TypeError)) throw;
  }
  return method(**how);  // an exporter from before DLPack 1.0
}

/// Lets the consumer's stream wait for ours: None and 1 are the default one, -1 none. Whether ours
/// does not wait for it of itself, as it does for the default one. The stream is the consumer's,
/// who may end it at any time: it is not touched again.
bool let_wait(const py::object& stream) {
  const auto number = stream.is_none() ? 1 : stream.cast<int64_t>();
  check<ArgumentError>(
      number >= -1 && number != 0, "__dlpack__",
      "stream must be None, -1 or a CUDA stream, not 0 (1 is the default one), got ", number);
  if (number < 0) return false;
  auto* const handle = reinterpret_cast<void*>(number);
  cuda::let_wait(handle);
  return number != 1 && handle != cuda::native_stream();
}

/// The functions of the object's framework, or null.
const DLPackExchangeAPI* exchange_of(const py::object& object) {
  const py::handle type(reinterpret_cast<PyObject*>(Py_TYPE(object.ptr())));
  static PyObject* const name = PyUnicode_InternFromString("__dlpack_c_exchange_api__");
  const auto found = py::reinterpret_steal<py::object>(PyObject_GetAttr(type.ptr(), name));
  if (!found) {
    PyErr_Clear();
    return nullptr;
  }
  if (!PyCapsule_IsValid(found.ptr(), DLPackExchangeAPI::kName)) return nullptr;
  const void* api = PyCapsule_GetPointer(found.ptr(), DLPackExchangeAPI::kName);
  const auto* exchange = static_cast<const DLPackExchangeAPI*>(api);
  return exchange->major == 1 ? exchange : nullptr;
}

}  // namespace

Tensor borrowed(const py::object& object) {
  if (object.is_none()) return {};
  const DLPackExchangeAPI* exchange = exchange_of(object);
  if (!exchange) return tensor_from_dlpack(object);
  DLTensor t{};
  if (exchange->borrow(object.ptr(), &t) != 0) throw py::error_already_set();
  check<DeviceError>(t.device.type == kDLCPU || t.device.type == kDLCUDAHost, "normlab.torch",
                     "the kernels take the CPU's memory; elsewhere use backend=\"torch\"");
  const Shape shape(std::span<const int64_t>(t.shape, static_cast<size_t>(t.ndim)));
  check(is_contiguous(t), "normlab.torch", "memory must be contiguous; shape ", shape,
        " has other strides");
  auto* data = static_cast<char*>(t.data) + t.byte_offset;
  return Tensor::wrap(data, shape, dtype_of(t.dtype, "normlab.torch", ""), [] {});
}

py::object lent(const Tensor& x, const py::object& like) {
  if (!x.defined()) return py::none();
  const DLPackExchangeAPI* exchange = exchange_of(like);
  if (!exchange) return py::cast(x);
  auto* const exported = managed<DLManagedTensorVersioned>(x, false, false);
  void* object = nullptr;
  if (exchange->object_from_managed(exported, &object) != 0) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(static_cast<PyObject*>(object));
}

Tensor tensor_from_dlpack(const py::object& source) {
  if (PyCapsule_CheckExact(source.ptr())) return tensor_from_capsule(source);
  check<DtypeError>(py::hasattr(source, "__dlpack__"), "from_dlpack",
                    "needs an object with __dlpack__, got ", Py_TYPE(source.ptr())->tp_name);
  int type = kDLCPU;
  if (py::hasattr(source, "__dlpack_device__")) {
    const py::tuple device = source.attr("__dlpack_device__")();
    type = device[0].cast<int>();
    check_device(type, device[1].cast<int>());
  }
  if (type == kDLCUDA) cuda::check_not_capturing("from_dlpack");
  return tensor_from_capsule(capsule_of(source, type == kDLCUDA));
}

std::pair<int, int> dlpack_device(const Tensor& x) {
  return {x.device() == Device::cuda ? kDLCUDA : kDLCPU, 0};
}

py::capsule tensor_to_dlpack(const Tensor& x, bool versioned, bool copied,
                             const py::object& stream) {
  check<ArgumentError>(x.device() == Device::cuda || stream.is_none(), "__dlpack__",
                       "stream must be None on the CPU, got ", std::string(py::repr(stream)));
  const Tensor shared = copied ? x.detach().clone() : x.detach();
  const bool elsewhere = x.device() == Device::cuda && let_wait(stream);
  return versioned ? export_as<DLManagedTensorVersioned>(shared, copied, elsewhere)
                   : export_as<DLManagedTensor>(shared, copied, elsewhere);
}

}  // namespace normlab::bindings
