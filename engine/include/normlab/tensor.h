#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <iosfwd>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "normlab/bfloat16.h"
#include "normlab/error.h"
#include "normlab/scalar.h"
#include "normlab/threads.h"

namespace normlab {

/// Element types. Users train in float32; float64 is there for gradient tests. bfloat16 halves the
/// GPU's memory traffic; the CPU stores, copies and converts it, and refuses to compute with it.
enum class DType : uint8_t { float32, float64, int32, int64, uint8, boolean, bfloat16 };

/// Bytes of one element.
int64_t size_of(DType dtype);
/// "float32", ..., "bool": NumPy's names.
const char* name_of(DType dtype);
/// True for float32 and float64, the types that every op on real numbers takes.
constexpr bool is_floating(DType dtype) {
  return dtype == DType::float32 || dtype == DType::float64;
}
/// True for the types that can carry a gradient: float32, float64 and bfloat16.
constexpr bool carries_gradient(DType dtype) {
  return is_floating(dtype) || dtype == DType::bfloat16;
}
std::ostream& operator<<(std::ostream& out, DType dtype);

/// The DType of a C++ element type: dtype_of<float> == DType::float32.
template <class T>
inline constexpr DType dtype_of = [] {
  static_assert(sizeof(T) == 0, "no DType for this element type");
  return DType::float32;
}();
template <>
inline constexpr DType dtype_of<float> = DType::float32;
template <>
inline constexpr DType dtype_of<double> = DType::float64;
template <>
inline constexpr DType dtype_of<int32_t> = DType::int32;
template <>
inline constexpr DType dtype_of<int64_t> = DType::int64;
template <>
inline constexpr DType dtype_of<uint8_t> = DType::uint8;
template <>
inline constexpr DType dtype_of<bool> = DType::boolean;
template <>
inline constexpr DType dtype_of<bfloat16> = DType::bfloat16;

/// Device of a tensor's memory.
enum class Device : uint8_t { cpu, cuda };
const char* name_of(Device device);
/// Parses "cpu" or "cuda"; ArgumentError otherwise.
Device device_named(const std::string& name);
std::ostream& operator<<(std::ostream& out, Device device);

/// Axis lengths, at most kMaxRank of them, kept inline: a handle never allocates for its shape.
class Shape {
 public:
  static constexpr int kMaxRank = 8;

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims);
  /// ShapeError for more than kMaxRank axes.
  explicit Shape(std::span<const int64_t> dims);

  int rank() const { return rank_; }
  /// Length of an axis; negative axes count from the end. RangeError outside.
  int64_t operator[](int axis) const { return dims_[wrap(axis)]; }
  int64_t& operator[](int axis) { return dims_[wrap(axis)]; }
  /// Product of the lengths; 1 for a scalar.
  int64_t numel() const;
  /// Product of the lengths of axes [from, to).
  int64_t numel(int from, int to) const;
  /// Axis in [0, rank) from one in [-rank, rank). RangeError outside, which names `op`.
  int wrap(int axis, const char* op = "shape") const;

  const int64_t* begin() const { return dims_; }
  const int64_t* end() const { return dims_ + rank_; }
  bool operator==(const Shape& other) const;
  void push_back(int64_t length);
  /// The axes [from, to) as a shape of their own.
  Shape sub(int from, int to) const;
  std::string str() const;

 private:
  int64_t dims_[kMaxRank] = {};
  int rank_ = 0;
};
/// Prints "[2, 3]".
std::ostream& operator<<(std::ostream& out, const Shape& shape);
/// The shape that NumPy's rules broadcast a and b to. ShapeError naming both otherwise.
Shape broadcast(const char* op, const Shape& a, const Shape& b);

struct SparseRows;
struct TensorImpl;
struct Node;

/// A dense array in row-major order: a cheap handle to shape, dtype and shared storage.
///
/// Always contiguous. reshape() and slices of the first axis share storage; every other view
/// (transpose, slices of later axes, broadcasting) copies. A default Tensor is undefined: it
/// stands for "absent" in optional arguments.
class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(std::shared_ptr<TensorImpl> impl) : impl_(std::move(impl)) {}

  /// Uninitialised. ShapeError for negative or overflowing lengths, DeviceError for a device
  /// that is not there, OutOfMemoryError.
  static Tensor empty(const Shape& shape, DType dtype = DType::float32,
                      Device device = Device::cpu);
  static Tensor zeros(const Shape& shape, DType dtype = DType::float32,
                      Device device = Device::cpu);
  static Tensor ones(const Shape& shape, DType dtype = DType::float32, Device device = Device::cpu);
  /// A floating dtype rounds the value; ArgumentError if an integer dtype does not hold it exactly,
  /// or bool gets anything but 0 and 1.
  static Tensor full(const Shape& shape, Scalar value, DType dtype = DType::float32,
                     Device device = Device::cpu);
  /// full() of shape [].
  static Tensor scalar(Scalar value, DType dtype = DType::float32);
  /// 0, 1, ..., n - 1. ArgumentError if an integer dtype does not hold them.
  static Tensor arange(int64_t n, DType dtype = DType::int64);
  /// start, start + step, ... before stop. ArgumentError unless these are finitely many.
  /// Integers count exactly, as int64 by default; other numbers by double's arithmetic, as float32.
  static Tensor arange(Scalar start, Scalar stop, Scalar step,
                       std::optional<DType> dtype = std::nullopt);
  /// Copies values into a tensor of that shape. ShapeError if their number differs.
  template <class T>
  static Tensor of(const Shape& shape, std::span<const T> values) {
    return copy_of(shape, dtype_of<T>, values.data(), static_cast<int64_t>(values.size()));
  }
  template <class T>
  static Tensor of(const Shape& shape, const std::vector<T>& values) {
    return of(shape, std::span<const T>(values));
  }
  template <class T>
  static Tensor of(const Shape& shape, std::initializer_list<T> values) {
    return of(shape, std::span<const T>(values.begin(), values.size()));
  }
  /// Wraps foreign memory without a copy; `release` runs when the last handle goes, for a GPU's
  /// once the work that is queued by then is done.
  static Tensor wrap(void* data, const Shape& shape, DType dtype, std::function<void()> release,
                     Device device = Device::cpu);

  bool defined() const { return impl_ != nullptr; }
  explicit operator bool() const { return defined(); }
  const Shape& shape() const;
  int rank() const { return shape().rank(); }
  int64_t size(int axis) const { return shape()[axis]; }
  int64_t numel() const;
  DType dtype() const;
  Device device() const;
  int64_t nbytes() const { return numel() * size_of(dtype()); }

  /// Pointer to the first element. DtypeError unless T is the tensor's type. Writing through it
  /// is a change in place: call bump_version() afterwards if a tape may have saved the tensor.
  template <class T>
  T* data() {
    return static_cast<T*>(checked_data(dtype_of<T>));
  }
  template <class T>
  const T* data() const {
    return static_cast<const T*>(checked_data(dtype_of<T>));
  }
  void* raw() const;
  /// The only element, converted to double. ShapeError unless numel() == 1.
  double item() const;
  /// The only element as T: item<int64_t>() is exact. ArgumentError for a value that T cannot hold.
  template <class T>
  T item() const {
    check(numel() == 1, "item", "needs a tensor of one element, got shape ", shape());
    return *detach().to(Device::cpu).to(dtype_of<T>).template data<T>();
  }
  /// The elements, converted to double, row-major: for tests and printing.
  std::vector<double> to_vector() const;

  /// Same storage, other shape; one length may be -1. Recorded for autograd.
  Tensor reshape(const Shape& shape) const;
  /// Rows [begin, end) of the first axis; shares storage. Recorded for autograd.
  Tensor slice(int64_t begin, int64_t end) const;
  /// Row i of the first axis (negative counts from the end); shares storage. RangeError outside.
  Tensor operator[](int64_t i) const;
  /// A copy with storage of its own. Recorded for autograd: detach().clone() for the values alone.
  Tensor clone() const;
  /// A copy with another dtype (or this handle if it is the same). Floating to floating is
  /// recorded for autograd, and rounds: what is too large becomes infinite. An integer dtype takes
  /// what lies in its range, rounded towards zero; ArgumentError with place and value for anything
  /// else, NaN too. On the GPU that becomes the nearest that fits, NaN 0. To bool: whether it is
  /// other than 0.
  Tensor to(DType dtype) const;
  /// A copy on another device (or this handle if it is the same). DeviceError if it is absent.
  Tensor to(Device device) const;

  /// In place: takes the values of `other` (same shape and dtype). GradError on a tensor that
  /// the tape produced; allowed on leaves (parameters).
  void copy_(const Tensor& other);
  /// In place: every element becomes the value, by the rules of full().
  void fill_(Scalar value);

  // --- autograd -------------------------------------------------------------------------
  bool requires_grad() const;
  /// Marks a leaf. DtypeError unless floating; GradError on the result of a recorded op.
  Tensor& set_requires_grad(bool on = true);
  /// True unless a recorded op produced it.
  bool is_leaf() const;
  /// The accumulated gradient of a leaf; undefined before the first backward(). If only sparse
  /// rows have arrived (embedding), a dense copy of them.
  Tensor grad() const;
  /// The gradient as rows, where only an embedding has contributed; nullptr otherwise.
  std::shared_ptr<const SparseRows> sparse_grad() const;
  /// Replaces the gradient; an undefined tensor clears it. ShapeError unless the shapes agree.
  void set_grad(const Tensor& grad);
  void zero_grad();
  /// Walks the tape from here once, newest node first, and adds into every leaf's grad().
  /// Frees the tape as it goes. `g` is dL/dthis; it may be left out for one element only.
  /// GradError: nothing requires a gradient, no g for a non-scalar, the tape was freed before,
  /// a saved tensor was changed in place, or an op on the way has no derivative. First order
  /// only: gradients themselves are never recorded.
  void backward(const Tensor& g = {}) const;
  /// A handle on this storage, off the tape.
  Tensor detach() const;
  /// Counts changes in place of the storage; the tape compares it.
  uint64_t version() const;
  void bump_version();

  const std::shared_ptr<TensorImpl>& impl() const { return impl_; }
  /// Same handle (not: same values).
  bool is(const Tensor& other) const { return impl_ == other.impl_; }

 private:
  static Tensor copy_of(const Shape& shape, DType dtype, const void* values, int64_t n);
  void* checked_data(DType want) const;
  std::shared_ptr<TensorImpl> impl_;
};

/// Prints shape, dtype and values, as NumPy does; long axes are shortened.
std::string to_string(const Tensor& x);
std::ostream& operator<<(std::ostream& out, const Tensor& x);

/// Memory of the caching allocator, in bytes. A steady training step makes no system_calls.
struct MemoryStats {
  int64_t in_use = 0;        ///< handed out now, in whole blocks: up to half more than the tensors
  int64_t peak = 0;          ///< the most that was ever handed out
  int64_t cached = 0;        ///< kept for reuse
  int64_t system_calls = 0;  ///< allocations that went to the system
};
MemoryStats memory_stats();
/// Gives the cached blocks back to the system.
void empty_cache();

/// "1.0.0"
const char* version();

}  // namespace normlab
