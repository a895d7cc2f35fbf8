#pragma once

// DLPack, the protocol by which array libraries lend each other memory.
// Source: https://dmlc.github.io/dlpack/latest/c_api.html

#include "casters.h"

namespace normlab::bindings {

struct DLDevice {
  int32_t type, id;
};
constexpr int32_t kDLCPU = 1, kDLCUDA = 2, kDLCUDAHost = 3;  // the last: pinned, the CPU's

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

/// A framework's functions by which C exchanges tensors without a call of Python: DLPack 1.2's
/// `__dlpack_c_exchange_api__`. They return 0, or else set a Python error.
struct DLPackExchangeAPI {
  static constexpr const char* kName = "dlpack_exchange_api";
  uint32_t major, minor;
  DLPackExchangeAPI* previous;
  void* allocate;
  int (*managed_from_object)(void* object, DLManagedTensorVersioned** out);
  int (*object_from_managed)(DLManagedTensorVersioned* tensor, void** out_object);
  int (*borrow)(void* object, DLTensor* out);
  void* current_stream;
};

/// A tensor on the CPU's memory of an object for the time of a call: without a copy, and nothing
/// keeps it alive. None is undefined. ShapeError unless it is contiguous.
Tensor borrowed(const py::object& object);
/// x for the framework of `like`: a tensor of its own kind on the same memory where it exchanges in
/// C, else x itself, which has __dlpack__. Undefined is None.
py::object lent(const Tensor& x, const py::object& like);

}  // namespace normlab::bindings
