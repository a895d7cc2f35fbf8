#pragma once

#include <atomic>
#include <memory>
#include <optional>

#include "normlab/autograd.h"
#include "normlab/tensor.h"

namespace normlab {

/// Memory of one or more tensors. Counts changes in place for all that share it.
struct Storage {
  void* data = nullptr;
  int64_t bytes = 0;  ///< of the whole block
  Device device = Device::cpu;
  std::function<void()> release;  ///< set for foreign memory only
  std::atomic<uint64_t> version{0};

  Storage(void* data, int64_t bytes, Device device) : data(data), bytes(bytes), device(device) {}
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
};

struct TensorImpl {
  std::shared_ptr<Storage> storage;
  int64_t offset = 0;  ///< bytes from the storage's start
  Shape shape;
  DType dtype = DType::float32;

  bool requires_grad = false;
  std::shared_ptr<const std::string> name;  ///< a parameter's, see nn::parameter_name()
  std::shared_ptr<Node> node;               ///< the op that made it; null for leaves
  Gradient grad;
};

/// Pointer to the first element wherever the tensor lives: for what hands it to the GPU. Tensor's
/// own data() and raw() refuse memory that the CPU cannot read.
void* device_data(const Tensor& x);
/// The same as T*, null for an undefined tensor.
template <class T>
T* device_data_or_null(const Tensor& x) {
  return x.defined() ? static_cast<T*>(device_data(x)) : nullptr;
}

/// Bytes of a tensor whose elements have `element` bytes; nullopt if memory cannot address them.
/// Lengths beside a zero count too, as in NumPy: no product of a shape's lengths overflows.
std::optional<int64_t> bytes_of(const Shape& shape, int64_t element);

/// The multi-index of element k of a tensor of that shape.
Shape position(const Shape& shape, int64_t k);

/// A new handle on the storage of x, `offset` bytes further, off the tape.
Tensor view_of(const Tensor& x, int64_t offset, const Shape& shape);

}  // namespace normlab
