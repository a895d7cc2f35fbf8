#include "casters.h"

// DLPack 1.0, the protocol by which array libraries lend each other memory.
// Source: https://dmlc.github.io/dlpack/latest/c_api.html

namespace normlab::bindings {
namespace {

struct DLDevice {
  int32_t type, id;
};
constexpr int32_t kDLCPU = 1;

struct DLDataType {
  uint8_t code, bits;
  uint16_t lanes;
};
enum : uint8_t { kDLInt = 0, kDLUInt = 1, kDLFloat = 2, kDLBfloat = 4, kDLBool = 6 };

struct DLTensor {
  void* data;
  DLDevice device;
  int32_t ndim;
  DLDataType dtype;
  int64_t* shape;
  int64_t* strides;  ///< in elements; null for C order
  uint64_t byte_offset;
};

struct DLManagedTensor {
  static constexpr const char* kName = "dltensor";
  static constexpr const char* kUsed = "used_dltensor";
  DLTensor tensor;
  void* owner;
  void (*deleter)(DLManagedTensor*);
};

struct DLManagedTensorVersioned {
  static constexpr const char* kName = "dltensor_versioned";
  static constexpr const char* kUsed = "used_dltensor_versioned";
  uint32_t major, minor;
  void* owner;
  void (*deleter)(DLManagedTensorVersioned*);
  uint64_t flags;
  DLTensor tensor;
};
constexpr uint64_t kReadOnly = 1, kCopied = 2;

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

/// What a consumer's deleter frees: the handle and the axis lengths that the DLTensor points to.
template <class Managed>
struct Export {
  Managed managed{};
  Tensor x;
  int64_t shape[Shape::kMaxRank] = {}, strides[Shape::kMaxRank] = {};
};

template <class Managed>
py::capsule export_as(const Tensor& x, [[maybe_unused]] bool copied) {
  auto* e = new Export<Managed>;
  e->x = x;
  const int rank = x.rank();
  for (int i = 0; i < rank; ++i) {
    e->shape[i] = x.size(i);
    e->strides[i] = x.shape().numel(i + 1, rank);
  }
  e->managed.tensor = {x.raw(),  {kDLCPU, 0}, rank, dlpack_dtype(x.dtype()),
                       e->shape, e->strides,  0};
  e->managed.owner = e;
  e->managed.deleter = [](Managed* m) { delete static_cast<Export<Managed>*>(m->owner); };
  if constexpr (std::is_same_v<Managed, DLManagedTensorVersioned>) {
    e->managed.major = 1;
    e->managed.flags = copied ? kCopied : 0;
  }
  PyObject* capsule = PyCapsule_New(&e->managed, Managed::kName, [](PyObject* self) {
    if (!PyCapsule_IsValid(self, Managed::kName)) return;  // a consumer has taken it
    auto* m = static_cast<Managed*>(PyCapsule_GetPointer(self, Managed::kName));
    m->deleter(m);
  });
  if (!capsule) {
    delete e;
    throw py::error_already_set();
  }
  return py::reinterpret_steal<py::capsule>(capsule);
}

/// A NumPy array on the capsule's memory; it calls the exporter's deleter when it goes.
template <class Managed>
py::array import_as(const py::object& capsule) {
  auto* m = static_cast<Managed*>(PyCapsule_GetPointer(capsule.ptr(), Managed::kName));
  if (!m) throw py::error_already_set();
  const DLTensor& t = m->tensor;
  check<DeviceError>(t.device.type == kDLCPU, "from_dlpack",
                     "the memory must be the CPU's, got DLPack device type ", t.device.type);
  const py::dtype dtype = numpy_dtype(t.dtype);
  const std::vector<py::ssize_t> shape(t.shape, t.shape + t.ndim);
  std::vector<py::ssize_t> strides;
  if (t.strides)
    for (int i = 0; i < t.ndim; ++i) strides.push_back(t.strides[i] * dtype.itemsize());
  const py::capsule owner(m, [](void* p) {
    auto* managed = static_cast<Managed*>(p);
    if (managed->deleter) managed->deleter(managed);
  });
  PyCapsule_SetName(capsule.ptr(), Managed::kUsed);
  auto* data = static_cast<char*>(t.data) + t.byte_offset;
  py::array array(dtype, shape, strides, data, owner);
  if constexpr (std::is_same_v<Managed, DLManagedTensorVersioned>)
    if (m->flags & kReadOnly) array.attr("flags").attr("writeable") = false;
  return array;
}

py::object capsule_of(const py::object& source) {
  const py::object method = source.attr("__dlpack__");
  try {
    return method(py::arg("max_version") = py::make_tuple(1, 0));
  } catch (py::error_already_set& e) {
    if (!e.matches(PyExc_TypeError)) throw;
  }
  return method();  // an exporter from before DLPack 1.0
}

}  // namespace

Tensor tensor_from_dlpack(const py::object& source) {
  check<DtypeError>(py::hasattr(source, "__dlpack__"), "from_dlpack",
                    "needs an object with __dlpack__, got ", Py_TYPE(source.ptr())->tp_name);
  if (py::hasattr(source, "__dlpack_device__")) {
    const auto device = py::tuple(source.attr("__dlpack_device__")())[0].cast<int>();
    check<DeviceError>(device == kDLCPU, "from_dlpack",
                       "the memory must be the CPU's, got DLPack device type ", device);
  }
  const py::object capsule = capsule_of(source);
  const bool versioned = PyCapsule_IsValid(capsule.ptr(), DLManagedTensorVersioned::kName);
  return tensor_from_array(versioned ? import_as<DLManagedTensorVersioned>(capsule)
                                     : import_as<DLManagedTensor>(capsule));
}

py::capsule tensor_to_dlpack(const Tensor& x, bool versioned, bool copied) {
  const Tensor shared = copied ? x.clone() : x.detach();
  return versioned ? export_as<DLManagedTensorVersioned>(shared, copied)
                   : export_as<DLManagedTensor>(shared, copied);
}

}  // namespace normlab::bindings
