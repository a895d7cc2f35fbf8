#pragma once

// Conversions between Python's objects and the engine's.

#include <pybind11/functional.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <concepts>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "gil.h"
#include "normlab/normlab.h"

namespace py = pybind11;

namespace normlab::bindings {

/// For functions that compute and touch no Python object.
using ReleaseGil = py::call_guard<GilRelease>;

py::dtype numpy_dtype(DType dtype);
/// True if the object is a str of that text.
bool is_text(py::handle source, const char* text);
/// The engine's type for anything that numpy.dtype() takes. DtypeError if it has none.
DType dtype_from(py::handle source);
/// A NumPy array on the same memory, which it keeps alive. DeviceError on a GPU.
py::array numpy_view(const Tensor& x);
/// x, or its values brought from the GPU.
Tensor on_cpu(const Tensor& x);
/// A tensor on the array's memory where dtype and layout allow it, else a copy.
Tensor tensor_from_array(const py::array& array, std::optional<DType> dtype = std::nullopt,
                         bool copy = false);
/// A tensor from anything that holds numbers: arrays, DLPack objects, scalars, nested lists.
Tensor tensor_from(py::handle source, std::optional<DType> dtype = std::nullopt, bool copy = false);
/// A tensor on the memory of an object with __dlpack__.
Tensor tensor_from_dlpack(const py::object& source);
/// (device type, device number), as DLPack has them.
std::pair<int, int> dlpack_device(const Tensor& x);
/// `stream`, of a consumer on the GPU, will wait for what computes x.
py::capsule tensor_to_dlpack(const Tensor& x, bool versioned, bool copied,
                             const py::object& stream);
/// x[key] by NumPy's rules, as far as the engine has them.
Tensor tensor_index(const Tensor& x, const py::object& key);

/// Integers: a sequence, or a tensor or array of one axis.
struct Integers {
  std::vector<int64_t> list;
};
/// An int or several: axes of a reduction.
struct Axes {
  std::vector<int> list;
};
inline std::vector<int> list_of(const std::optional<Axes>& axes) {
  return axes ? axes->list : std::vector<int>{};
}
/// An int or a pair of them: height and width.
struct Pair {
  int64_t h = 0, w = 0;
};
/// The generator that a function was given, by default this thread's.
using MaybeGenerator = std::optional<Generator*>;
inline Generator& chosen(const MaybeGenerator& generator) {
  return generator ? **generator : default_generator();
}
/// The seed of a generator.
struct Seed {
  uint64_t value = 0;
};
/// Tensors from anything that can be iterated over once.
struct Tensors {
  std::vector<Tensor> list;
};
/// A number: an int, whole numbers of other types with __index__ and bools are exact, as int64;
/// anything else that float() takes, and an int beyond int64, is a double. nullopt if it is none.
/// GradError for a tensor that requires a gradient, which would be lost in silence: every argument
/// of the package that is a number comes through here.
std::optional<Scalar> number_from(py::handle source, bool convert);
/// int64 from an int or another type with __index__; nullopt if it is none or does not fit. What
/// has a fraction or an imaginary part is not cut, and no tensor with a gradient has an __index__.
std::optional<int64_t> integer_from(py::handle source);
/// The value as int; ArgumentError if it does not fit: an axis that wraps would be another one.
int narrow(int64_t value);

/// The parts as one text.
template <class... Parts>
std::string joined(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

/// A property's getter that copies a member.
template <class Object, class Member>
auto copied(Member Object::*member) {
  return [member](const Object& object) { return object.*member; };
}

inline Tensor tensor_or_none(const std::optional<Tensor>& x) {
  return x.value_or(Tensor{});
}
inline std::optional<Tensor> none_or_tensor(const Tensor& x) {
  return x.defined() ? std::optional(x) : std::nullopt;
}

/// A Python object of any type: "typing.Any" in signatures.
class Any : public py::object {
  static bool check(PyObject*) { return true; }
  PYBIND11_OBJECT_DEFAULT(Any, object, check)
};

/// The object that a method was called on, returned for chaining.
class Self : public Any {
  using Any::Any;
};

/// A tensor as a Python object: one that there was before stays the same.
class TensorObject : public Any {
  using Any::Any;
};

/// False for what X.__new__(X) made, or whose class did not call super().__init__().
inline bool constructed(py::handle object) {
  auto* instance = reinterpret_cast<py::detail::instance*>(object.ptr());
  // The value and not its holder: what belongs to another object has none.
  if (instance->simple_layout) return instance->simple_value_holder[0] != nullptr;
  py::detail::values_and_holders bases(instance);
  for (const auto& base : bases)
    if (base.value_ptr() == nullptr && !bases.is_redundant_value_and_holder(base)) return false;
  return true;
}

/// The name of an object's class, without modules.
std::string class_name(py::handle object);
[[noreturn]] void refuse_shell(py::handle object);
/// pybind11 itself would hand out memory in which nothing was ever built.
inline void check_constructed(py::handle object) {
  if (!constructed(object)) [[unlikely]]
    refuse_shell(object);
}

/// uint64 from an int; nullopt if it is none, ArgumentError if it has no seed's size.
std::optional<uint64_t> seed_from(py::handle source);
/// The items of an iterable if all are tensors, else nullopt. A tensor's own rows are not meant.
std::optional<std::vector<Tensor>> tensors_from(py::handle source);
/// int64 lengths from an int or a sequence of ints; nullopt if it is neither.
std::optional<std::vector<int64_t>> integers_from(py::handle source);
/// The same as axes; ArgumentError if int does not hold one.
std::optional<std::vector<int>> axes_from(py::handle source);

}  // namespace normlab::bindings

namespace pybind11::detail {

template <>
struct handle_type_name<normlab::bindings::Any> {
  static constexpr auto name = const_name("typing.Any");
};

template <>
struct handle_type_name<normlab::bindings::Self> {
  static constexpr auto name = const_name("typing_extensions.Self");
};

template <>
struct handle_type_name<normlab::bindings::TensorObject> {
  static constexpr auto name = const_name<normlab::Tensor>();
};

/// True for types of namespace normlab. Compilers print the namespace only outside of it.
template <class T>
consteval bool is_normlabs() {
  return std::string_view(__PRETTY_FUNCTION__).find("T = normlab::") != std::string_view::npos;
}

/// A class of the engine that is bound. Every use of an object checks that it is constructed.
template <class T>
concept Bound = std::is_class_v<T> && is_normlabs<T>() && !std::derived_from<T, handle>;

template <Bound T>
class type_caster<T> : public type_caster_base<T> {
 public:
  bool load(handle source, bool convert) {
    const bool instance = isinstance<T>(source);
    if (!instance && !convert) return false;  // without pybind11's long search elsewhere
    if (instance) normlab::bindings::check_constructed(source);
    return type_caster_base<T>::load(source, convert);
  }
};

/// In place of pybind11's own, so that no number is a tensor that loses its gradient.
template <>
struct type_caster<double> {
  PYBIND11_TYPE_CASTER(double, io_name("typing.SupportsFloat | typing.SupportsIndex", "float"));
  bool load(handle source, bool convert) {
    const auto number = normlab::bindings::number_from(source, convert);
    if (number) value = number->real();
    return number.has_value();
  }
  static handle cast(double number, return_value_policy, handle) {
    return PyFloat_FromDouble(number);
  }
};

/// In place of pybind11's own, which takes whatever int() takes and cuts what has a fraction.
template <>
struct type_caster<int64_t> {
  PYBIND11_TYPE_CASTER(int64_t, io_name("typing.SupportsInt | typing.SupportsIndex", "int"));
  bool load(handle source, bool) {
    const auto integer = normlab::bindings::integer_from(source);
    if (integer) value = *integer;
    return integer.has_value();
  }
  static handle cast(int64_t integer, return_value_policy, handle) {
    return PyLong_FromLongLong(integer);
  }
};

template <>
struct type_caster<int> {
  PYBIND11_TYPE_CASTER(int, type_caster<int64_t>::name);
  bool load(handle source, bool) {
    const auto integer = normlab::bindings::integer_from(source);
    if (integer) value = normlab::bindings::narrow(*integer);
    return integer.has_value();
  }
  static handle cast(int integer, return_value_policy, handle) { return PyLong_FromLong(integer); }
};

template <>
struct type_caster<normlab::Scalar> {
  static constexpr auto name = type_caster<double>::name;
  template <class T>
  using cast_op_type = normlab::Scalar&;

  bool load(handle source, bool convert) {
    const auto number = normlab::bindings::number_from(source, convert);
    if (number) value_ = *number;
    return number.has_value();
  }
  operator normlab::Scalar&() { return value_; }

 private:
  normlab::Scalar value_ = 0;
};

template <Bound T>
class type_caster<std::shared_ptr<T>> : public copyable_holder_caster<T, std::shared_ptr<T>> {
 public:
  bool load(handle source, bool convert) {
    if (isinstance<T>(source)) normlab::bindings::check_constructed(source);
    return copyable_holder_caster<T, std::shared_ptr<T>>::load(source, convert);
  }
};

template <>
struct type_caster<normlab::DType> {
  PYBIND11_TYPE_CASTER(normlab::DType,
                       io_name("numpy.typing.DTypeLike", "numpy.dtype[typing.Any]"));
  bool load(handle source, bool) {
    value = normlab::bindings::dtype_from(source);
    return true;
  }
  static handle cast(normlab::DType dtype, return_value_policy, handle) {
    return normlab::bindings::numpy_dtype(dtype).release();
  }
};

template <>
struct type_caster<normlab::Shape> {
  PYBIND11_TYPE_CASTER(normlab::Shape,
                       io_name("int | collections.abc.Sequence[int]", "tuple[int, ...]"));
  bool load(handle source, bool) {
    const auto lengths = normlab::bindings::integers_from(source);
    if (lengths) value = normlab::Shape(std::span<const int64_t>(*lengths));
    return lengths.has_value();
  }
  static handle cast(const normlab::Shape& shape, return_value_policy, handle) {
    tuple lengths(shape.rank());
    for (int i = 0; i < shape.rank(); ++i) lengths[i] = int_(shape[i]);
    return lengths.release();
  }
};

template <>
struct type_caster<normlab::bindings::Axes> {
  PYBIND11_TYPE_CASTER(normlab::bindings::Axes, const_name("int | collections.abc.Sequence[int]"));
  bool load(handle source, bool) {
    auto axes = normlab::bindings::axes_from(source);
    if (!axes) return false;
    normlab::check<normlab::ArgumentError>(!axes->empty(), "axis",
                                           "an empty tuple names no axis; None stands for all");
    value.list = *std::move(axes);
    return true;
  }
};

template <>
struct type_caster<normlab::bindings::Integers> {
  PYBIND11_TYPE_CASTER(normlab::bindings::Integers, const_name("collections.abc.Sequence[int]"));
  bool load(handle source, bool) {
    auto integers = normlab::bindings::integers_from(source);
    if (!integers) return false;
    value.list = *std::move(integers);
    return true;
  }
};

template <>
struct type_caster<normlab::bindings::Seed> {
  PYBIND11_TYPE_CASTER(normlab::bindings::Seed, const_name("int"));
  bool load(handle source, bool) {
    const auto seed = normlab::bindings::seed_from(source);
    value.value = seed.value_or(0);
    return seed.has_value();
  }
};

template <>
struct type_caster<normlab::bindings::Tensors> {
  PYBIND11_TYPE_CASTER(normlab::bindings::Tensors, const_name("collections.abc.Iterable[") +
                                                       const_name<normlab::Tensor>() +
                                                       const_name("]"));
  bool load(handle source, bool) {
    auto tensors = normlab::bindings::tensors_from(source);
    if (tensors) value.list = std::move(*tensors);
    return tensors.has_value();
  }
};

template <>
struct type_caster<normlab::bindings::Pair> {
  PYBIND11_TYPE_CASTER(normlab::bindings::Pair, const_name("int | tuple[int, int]"));
  bool load(handle source, bool) {
    const auto pair = normlab::bindings::integers_from(source);
    if (!pair || pair->empty() || pair->size() > 2) return false;
    value = {pair->front(), pair->back()};
    return true;
  }
};

/// An enumeration of the engine that Python names by its string.
template <class Enum, Enum (*Parse)(const std::string&), const char* (*Name)(Enum)>
struct named_enum_caster {
  PYBIND11_TYPE_CASTER(Enum, const_name("str"));
  bool load(handle source, bool convert) {
    make_caster<std::string> text;
    if (!text.load(source, convert)) return false;
    value = Parse(cast_op<std::string&>(text));
    return true;
  }
  static handle cast(Enum value, return_value_policy, handle) { return str(Name(value)).release(); }
};

template <>
struct type_caster<normlab::Activation>
    : named_enum_caster<normlab::Activation, normlab::activation_named, normlab::name_of> {};

}  // namespace pybind11::detail
