#include "normlab/tensor.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iomanip>
#include <limits>

#include "core/accumulate.h"
#include "core/allocator.h"
#include "core/bfloat16.h"
#include "core/dispatch.h"
#include "core/gpu.h"
#include "core/scalar.h"
#include "core/tensor_impl.h"

namespace normlab {

std::ostream& operator<<(std::ostream& out, const Scalar& number) {
  if (number.is_integer()) return out << number.integer();
  return out << number.real();
}

int64_t size_of(DType dtype) {
  return dispatch_stored(dtype, []<class T>() -> int64_t { return sizeof(T); });
}

const char* name_of(DType dtype) {
  constexpr const char* kNames[] = {"float32", "float64", "int32",   "int64",
                                    "uint8",   "bool",    "bfloat16"};
  return kNames[static_cast<int>(dtype)];
}

std::ostream& operator<<(std::ostream& out, DType dtype) {
  return out << name_of(dtype);
}

const char* name_of(Device device) {
  return device == Device::cpu ? "cpu" : "cuda";
}

Device device_named(const std::string& name) {
  if (name == "cpu") return Device::cpu;
  check<ArgumentError>(
      name == "cuda", "device",
      "must be 'cpu' or 'cuda', the first GPU that CUDA_VISIBLE_DEVICES names, got '", name, "'");
  return Device::cuda;
}

std::ostream& operator<<(std::ostream& out, Device device) {
  return out << name_of(device);
}

Storage::~Storage() {
  if (release && device == Device::cuda) {
    cuda::release_after_work(std::move(release));
  } else if (release) {
    release();
  } else {
    deallocate({data, bytes}, device);
  }
}

std::optional<int64_t> bytes_of(const Shape& shape, int64_t element) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max() / 2;
  int64_t bytes = element;
  for (const int64_t length : shape) {
    if (length == 0) continue;
    if (bytes > kMost / length) return std::nullopt;
    bytes *= length;
  }
  return shape.numel() == 0 ? 0 : bytes;
}

namespace {

/// Bytes of a tensor, checked for negative lengths and overflow.
int64_t checked_bytes(const Shape& shape, DType dtype) {
  for (const int64_t length : shape)
    check(length >= 0, "tensor", "lengths must not be negative, got shape ", shape);
  const std::optional<int64_t> bytes = bytes_of(shape, size_of(dtype));
  check(bytes.has_value(), "tensor", "shape ", shape, " has more elements than memory can address");
  return *bytes;
}

Tensor on_storage(std::shared_ptr<Storage> storage, int64_t offset, const Shape& shape,
                  DType dtype) {
  auto impl = std::make_shared<TensorImpl>();
  impl->storage = std::move(storage);
  impl->offset = offset;
  impl->shape = shape;
  impl->dtype = dtype;
  return Tensor(std::move(impl));
}

TensorImpl& checked(const std::shared_ptr<TensorImpl>& impl) {
  check<ArgumentError>(impl != nullptr, "tensor", "this tensor is undefined (empty handle)");
  return *impl;
}

/// Whether To can stand for the value; floating types and bool take any.
template <class To, class From>
bool fits(From value) {
  if constexpr (is_real<To> || std::is_same_v<To, bool> || std::is_same_v<From, bool>)
    return true;
  else if constexpr (std::is_same_v<From, bfloat16>)
    return in_range_of<To>(static_cast<double>(static_cast<float>(value)));
  else if constexpr (std::is_floating_point_v<From>)
    return in_range_of<To>(static_cast<double>(value));
  else
    return in_range_of<To>(static_cast<int64_t>(value));
}

/// Of a value that fits.
template <class To, class From>
To convert(From value) {
  if constexpr (std::is_same_v<From, To>)
    return value;
  else if constexpr (std::is_same_v<From, bfloat16>)
    return convert<To>(static_cast<float>(value));
  else if constexpr (std::is_same_v<To, bfloat16>)
    return bfloat16(static_cast<float>(value));
  else
    return static_cast<To>(value);
}

bool overlap(const void* a, const void* b, int64_t bytes) {
  const auto x = reinterpret_cast<uintptr_t>(a), y = reinterpret_cast<uintptr_t>(b);
  return (x < y ? y - x : x - y) < static_cast<uintptr_t>(bytes);
}

/// Between tensors of equal bytes, wherever they live; their memory may overlap.
void copy_values(const Tensor& to, const Tensor& from) {
  const bool to_gpu = to.device() == Device::cuda, from_gpu = from.device() == Device::cuda;
  void* const target = device_data(to);
  const void* const source = device_data(from);
  const int64_t bytes = to.nbytes();
  if (bytes == 0 || target == source) return;
  if (to_gpu && from_gpu && overlap(target, source, bytes)) return copy_values(to, from.clone());
  if (to_gpu || from_gpu) return cuda::copy_to(to, from);
  std::memmove(target, source, static_cast<size_t>(bytes));
}

/// Element i of `from`, which does not fit `dtype`.
[[noreturn]] void refuse(const Tensor& from, int64_t i, DType dtype) {
  std::ostringstream value;
  if (from.dtype() == DType::int64)
    value << from.data<int64_t>()[i];
  else
    value << std::setprecision(17) << from.to_vector()[static_cast<size_t>(i)];
  if (from.rank() > 0) value << " at " << position(from.shape(), i);
  fail<ArgumentError>("to", "value ", value.str(), " does not fit ", dtype);
}

/// On the GPU what does not fit becomes the nearest that does: to refuse it would mean to wait.
void convert_values(const Tensor& from, const Tensor& to) {
  if (from.device() == Device::cuda) return cuda::convert(from, to);
  if (from.dtype() == DType::float32 && to.dtype() == DType::bfloat16)
    return convert_values(from.data<float>(), static_cast<bfloat16*>(to.raw()), from.numel());
  if (from.dtype() == DType::bfloat16 && to.dtype() == DType::float32)
    return convert_values(from.data<bfloat16>(), static_cast<float*>(to.raw()), from.numel());
  dispatch_stored(from.dtype(), [&]<class From>() {
    dispatch_stored(to.dtype(), [&]<class To>() {
      const From* values = from.data<From>();
      To* out = static_cast<To*>(to.raw());
      for (int64_t i = 0, n = from.numel(); i < n; ++i) {
        if (!fits<To>(values[i])) [[unlikely]]
          refuse(from, i, to.dtype());
        out[i] = convert<To>(values[i]);
      }
    });
  });
}

void fill(const char* op, Tensor& x, const Scalar& value) {
  dispatch_stored(x.dtype(), [&]<class T>() {
    check<ArgumentError>(holds<T>(value), op, "the value must be one that ", x.dtype(),
                         " holds exactly, got ", value);
    const T element = element_of<T>(value);
    if (x.device() == Device::cuda)
      cuda::fill(op, x, &element, sizeof element);
    else
      std::fill_n(x.data<T>(), x.numel(), element);
  });
}

}  // namespace

Tensor view_of(const Tensor& x, int64_t offset, const Shape& shape) {
  return on_storage(x.impl()->storage, x.impl()->offset + offset, shape, x.dtype());
}

Tensor Tensor::empty(const Shape& shape, DType dtype, Device device) {
  const int64_t bytes = checked_bytes(shape, dtype);
  const Block block = allocate(bytes, device);
  return on_storage(std::make_shared<Storage>(block.data, block.bytes, device), 0, shape, dtype);
}

Tensor Tensor::zeros(const Shape& shape, DType dtype, Device device) {
  Tensor x = empty(shape, dtype, device);
  if (device == Device::cuda)
    x.fill_(0);
  else
    std::memset(x.raw(), 0, static_cast<size_t>(x.nbytes()));
  return x;
}

Tensor Tensor::ones(const Shape& shape, DType dtype, Device device) {
  return full(shape, 1, dtype, device);
}

Tensor Tensor::full(const Shape& shape, Scalar value, DType dtype, Device device) {
  Tensor x = empty(shape, dtype, device);
  fill("full", x, value);
  return x;
}

Tensor Tensor::scalar(Scalar value, DType dtype) {
  return full({}, value, dtype);
}

Tensor Tensor::copy_of(const Shape& shape, DType dtype, const void* values, int64_t n) {
  Tensor x = empty(shape, dtype);
  check(n == x.numel(), "tensor", "shape ", shape, " takes ", x.numel(), " values, got ", n);
  if (n > 0) std::memcpy(x.raw(), values, static_cast<size_t>(x.nbytes()));
  return x;
}

Tensor Tensor::wrap(void* data, const Shape& shape, DType dtype, std::function<void()> release,
                    Device device) {
  if (device == Device::cuda) cuda::check_available();
  auto storage = std::make_shared<Storage>(data, checked_bytes(shape, dtype), device);
  storage->release = release ? std::move(release) : [] {};
  return on_storage(std::move(storage), 0, shape, dtype);
}

const Shape& Tensor::shape() const {
  return checked(impl_).shape;
}
int64_t Tensor::numel() const {
  return shape().numel();
}
DType Tensor::dtype() const {
  return checked(impl_).dtype;
}
Device Tensor::device() const {
  return checked(impl_).storage->device;
}

void* Tensor::raw() const {
  check<DeviceError>(
      device() == Device::cpu, "data",
      "this tensor is on cuda, where this operation cannot go yet; x.to('cpu') takes "
      "it to the CPU");
  return device_data(*this);
}

void* device_data(const Tensor& x) {
  const TensorImpl& impl = checked(x.impl());
  return static_cast<char*>(impl.storage->data) + impl.offset;
}

void* Tensor::checked_data(DType want) const {
  check<DtypeError>(dtype() == want, "data", "this tensor holds ", dtype(), ", asked for ", want);
  return raw();
}

double Tensor::item() const {
  check(numel() == 1, "item", "needs a tensor of one element, got shape ", shape());
  return to_vector()[0];
}

std::vector<double> Tensor::to_vector() const {
  if (device() != Device::cpu) return detach().to(Device::cpu).to_vector();
  std::vector<double> values(static_cast<size_t>(numel()));
  dispatch_stored(dtype(), [&]<class T>() {
    const T* p = data<T>();
    for (size_t i = 0; i < values.size(); ++i) values[i] = convert<double>(p[i]);
  });
  return values;
}

Tensor Tensor::reshape(const Shape& want) const {
  Shape shape = want;
  int free = -1;
  for (int i = 0; i < want.rank(); ++i) {
    check(want[i] >= -1 && (want[i] != -1 || free < 0), "reshape",
          "lengths must not be negative, but for one -1, got ", want);
    if (want[i] != -1) continue;
    free = i;
    shape[i] = 1;
  }
  checked_bytes(shape, dtype());
  if (free >= 0) {
    const int64_t known = shape.numel();
    check(known > 0 && numel() % known == 0, "reshape", "no length fits the -1 of ", want,
          " for shape ", this->shape());
    shape[free] = numel() / known;
  }
  check(shape.numel() == numel(), "reshape", "shape ", this->shape(), " has ", numel(),
        " elements, ", want, " has ", shape.numel());
  return record(
      "reshape", view_of(*this, 0, shape), {*this},
      [from = this->shape()](const Tensor& dz, Needs) -> Grads { return {view_of(dz, 0, from)}; });
}

Tensor Tensor::slice(int64_t begin, int64_t end) const {
  check(rank() > 0, "slice", "a scalar has no axis to slice");
  const int64_t n = size(0);
  check<RangeError>(0 <= begin && begin <= end && end <= n, "slice", "rows [", begin, ", ", end,
                    ") must lie within the ", n, " rows of shape ", shape());
  Shape part = shape();
  part[0] = end - begin;
  const int64_t row = n > 0 ? nbytes() / n : 0;
  return record("slice", view_of(*this, begin * row, part), {*this},
                [whole = shape(), offset = begin * row](const Tensor& dz, Needs) -> Grads {
                  Tensor dx = Tensor::zeros(whole, dz.dtype(), dz.device());
                  copy_values(view_of(dx, offset, dz.shape()), dz);
                  return {dx};
                });
}

Tensor Tensor::operator[](int64_t i) const {
  check<RangeError>(rank() > 0, "index", "a scalar has no axis to index");
  const int64_t n = size(0);
  check<RangeError>(-n <= i && i < n, "index", "row must be in [", -n, ", ", n, ") for shape ",
                    shape(), ", got ", i);
  const int64_t row = i < 0 ? i + n : i;
  return slice(row, row + 1).reshape(shape().sub(1, rank()));
}

Tensor Tensor::clone() const {
  Tensor copy = empty(shape(), dtype(), device());
  if (device() == Device::cpu)
    copy_bytes(copy.raw(), raw(), nbytes());
  else
    copy_values(copy, *this);
  return record("clone", copy, {*this}, [](const Tensor& dz, Needs) -> Grads { return {dz}; });
}

Tensor Tensor::to(DType want) const {
  if (want == dtype()) return *this;
  Tensor z = empty(shape(), want, device());
  convert_values(*this, z);
  if (!carries_gradient(want)) return z;
  return record("to", z, {*this},
                [from = dtype()](const Tensor& dz, Needs) -> Grads { return {dz.to(from)}; });
}

Tensor Tensor::to(Device want) const {
  if (want == device()) return *this;
  Tensor z = empty(shape(), dtype(), want);
  copy_values(z, *this);
  return record("to", z, {*this},
                [from = device()](const Tensor& dz, Needs) -> Grads { return {dz.to(from)}; });
}

void Tensor::copy_(const Tensor& other) {
  check<GradError>(is_leaf(), "copy_",
                   "only leaves can be changed in place; this is the result of a "
                   "recorded op");
  check(shape() == other.shape(), "copy_", "shape must be ", shape(), ", got ", other.shape());
  check<DtypeError>(dtype() == other.dtype(), "copy_", "dtype must be ", dtype(), ", got ",
                    other.dtype());
  copy_values(*this, other);
  bump_version();
}

void Tensor::fill_(Scalar value) {
  check<GradError>(is_leaf(), "fill_",
                   "only leaves can be changed in place; this is the result of a "
                   "recorded op");
  fill("fill_", *this, value);
  bump_version();
}

uint64_t Tensor::version() const {
  return checked(impl_).storage->version.load(std::memory_order_relaxed);
}

void Tensor::bump_version() {
  checked(impl_).storage->version.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace normlab
