#include "bind.h"

namespace normlab::bindings {
namespace {

constexpr const char* kTensorDoc =
    R"doc(A dense, row-major array that can record how it was computed.

Make one with :func:`normlab.tensor`, :func:`normlab.zeros`, :func:`normlab.randn`, ...
A tensor always lies contiguously in memory: ``reshape`` and slices of the first axis share
storage with it, everything else copies. Element types: float32, float64, int32, int64, uint8,
bool. ``np.asarray(t)``, ``t.numpy()`` and ``np.from_dlpack(t)`` give NumPy the same memory.

``t.to("cuda")`` takes it to the GPU, ``t.to("cpu")`` back; operations want all tensors on one
device.

``pickle`` and ``copy.deepcopy`` keep a leaf's values, dtype, device and ``requires_grad``, not its
gradient; what shared storage has each its own afterwards. ``copy.copy`` shares.
)doc";

/// The only element as int, float or bool.
py::object item(const Tensor& given) {
  check(given.numel() == 1, "item", "needs a tensor of one element, got shape ", given.shape());
  const Tensor x = on_cpu(given);
  switch (x.dtype()) {
    case DType::float32:
      return py::float_(*x.data<float>());
    case DType::float64:
      return py::float_(*x.data<double>());
    case DType::int32:
      return py::int_(*x.data<int32_t>());
    case DType::int64:
      return py::int_(*x.data<int64_t>());
    case DType::uint8:
      return py::int_(*x.data<uint8_t>());
    case DType::boolean:
      return py::bool_(*x.data<bool>());
    case DType::bfloat16:
      return py::float_(x.item());
  }
  return py::none();
}

std::string repr(const Tensor& x) {
  const py::module_ numpy = py::module_::import("numpy");
  const Tensor shown = x.dtype() == DType::bfloat16 ? x.detach().to(DType::float32) : x;
  const std::string values = py::str(numpy.attr("array2string")(
      numpy_view(on_cpu(shown)), py::arg("separator") = ", ", py::arg("prefix") = "tensor("));
  std::string line;  // all in one line, if it is short
  for (size_t i = 0; i < values.size(); ++i) {
    line += values[i] == '\n' ? ' ' : values[i];
    if (values[i] == '\n')
      while (i + 1 < values.size() && (values[i + 1] == ' ' || values[i + 1] == '\n')) ++i;
  }
  std::string text = "tensor(" + (line.size() <= 75 ? line : values);
  text += ", shape=" + std::string(py::repr(py::cast(x.shape())));
  text += std::string(", dtype=") + name_of(x.dtype());
  if (x.device() != Device::cpu) text += std::string(", device=") + name_of(x.device());
  if (x.requires_grad()) text += ", requires_grad";
  return text + ')';
}

/// To the dtype or device that to() was given, or a tensor's.
Tensor to(const Tensor& x, const py::object& target) {
  if (py::isinstance<Tensor>(target)) {
    const auto& model = target.cast<const Tensor&>();
    return without_gil([&] { return x.to(model.dtype()).to(model.device()); });
  }
  const std::string name = PyUnicode_Check(target.ptr()) ? std::string(py::repr(target)) : "";
  if (name == "'cpu'" || name.starts_with("'cuda"))
    return without_gil([&] { return x.to(device_named(name.substr(1, name.size() - 2))); });
  const DType dtype = dtype_from(target);
  return without_gil([&] { return x.to(dtype); });
}

Shape shape_from(const py::args& args) {
  py::detail::make_caster<Shape> shape;
  const py::object source = args.size() == 1 ? py::object(args[0]) : py::object(args);
  if (!shape.load(source, true))
    fail<DtypeError>("reshape", "the shape must be integers, got ", std::string(py::repr(source)));
  return py::detail::cast_op<Shape&>(shape);
}

py::array array_of(const Tensor& x, const std::optional<DType>& dtype, std::optional<bool> copy) {
  const bool converts = dtype && *dtype != x.dtype();
  if (converts && copy == false)
    fail<ArgumentError>("__array__", "copy=False, but dtype ", *dtype, " needs a copy of ",
                        x.dtype());
  const Tensor source = converts ? x.detach().to(*dtype) : x;
  return numpy_view(!converts && copy == true ? source.clone() : source);
}

py::buffer_info buffer_of(const Tensor& x) {
  const py::dtype dtype = numpy_dtype(x.dtype());
  std::vector<py::ssize_t> shape(x.shape().begin(), x.shape().end()), strides;
  for (int i = 0; i < x.rank(); ++i)
    strides.push_back(x.shape().numel(i + 1, x.rank()) * size_of(x.dtype()));
  const std::string format(1, dtype.char_());
  return {x.raw(), dtype.itemsize(), format, x.rank(), std::move(shape), std::move(strides)};
}

/// A leaf's values and flag; the result of an op has a tape that cannot be copied.
Tensor copied_leaf(const Tensor& x, const char* op) {
  check<GradError>(x.is_leaf(), op,
                   "the result of a recorded op cannot be copied with its tape; detach() it first");
  Tensor copy = x.detach().clone();
  if (x.requires_grad()) copy.set_requires_grad();
  return copy;
}

/// (values, requires_grad, device), and the dtype where NumPy lacks it: bfloat16's bits are uint16.
py::tuple state_of(const Tensor& x) {
  const Tensor copy = on_cpu(copied_leaf(x, "pickle"));
  if (x.dtype() != DType::bfloat16)
    return py::make_tuple(numpy_view(copy), x.requires_grad(), name_of(x.device()));
  const std::vector<py::ssize_t> lengths(x.shape().begin(), x.shape().end());
  const py::array bits(py::dtype::of<uint16_t>(), lengths, copy.raw(), py::cast(copy));
  return py::make_tuple(bits, x.requires_grad(), name_of(x.device()), name_of(x.dtype()));
}

Tensor of_bits(const py::array_t<uint16_t, py::array::c_style>& bits) {
  const std::span<const int64_t> lengths(bits.shape(), static_cast<size_t>(bits.ndim()));
  const Tensor x = Tensor::empty(Shape(lengths), DType::bfloat16);
  std::copy_n(bits.data(), bits.size(), static_cast<uint16_t*>(x.raw()));
  return x;
}

Tensor of_state(const py::tuple& state) {
  check<ArgumentError>(state.size() == 3 || state.size() == 4, "Tensor",
                       "a pickled state has 3 or 4 parts, got ", state.size());
  const Tensor values = state.size() == 4
                            ? of_bits(state[0].cast<py::array>())
                            : tensor_from_array(state[0].cast<py::array>(), std::nullopt, true);
  Tensor x = values.to(device_named(state[2].cast<std::string>()));
  if (state[1].cast<bool>()) x.set_requires_grad();
  return x;
}

py::capsule dlpack(const Tensor& x, const py::object& stream,
                   const std::optional<std::pair<int, int>>& max_version,
                   const std::optional<std::pair<int, int>>& device, std::optional<bool> copy) {
  const bool versioned = max_version && max_version->first >= 1;
  if (!device || *device == dlpack_device(x))
    return tensor_to_dlpack(x, versioned, copy.value_or(false), stream);
  if (device != std::pair(1, 0) || copy == false)
    throw py::buffer_error("__dlpack__: the tensor is on " + std::string(name_of(x.device())) +
                           "; only the CPU, device (1, 0), can have a copy");
  return tensor_to_dlpack(on_cpu(x), versioned, false, py::none());
}

void bind_attributes(TensorClass& c) {
  c.def_property_readonly(
      "shape", [](const Tensor& x) { return x.shape(); }, "Axis lengths.");
  c.def_property_readonly("ndim", &Tensor::rank, "Number of axes.");
  c.def_property_readonly("size", &Tensor::numel, "Number of elements.");
  c.def_property_readonly("nbytes", &Tensor::nbytes, "Bytes of all elements.");
  c.def_property_readonly("dtype", &Tensor::dtype, "Element type, as NumPy's dtype.");
  c.def_property_readonly(
      "device", [](const Tensor& x) { return name_of(x.device()); }, "\"cpu\" or \"cuda\".");
  c.def("__len__", [](const Tensor& x) {
    check<DtypeError>(x.rank() > 0, "len", "a scalar tensor has no length");
    return x.size(0);
  });
  c.def("__iter__", [](const py::object& self) {
    check<DtypeError>(self.cast<const Tensor&>().rank() > 0, "iter",
                      "a scalar tensor cannot be iterated over");
    return py::reinterpret_steal<py::typing::Iterator<Tensor>>(PySeqIter_New(self.ptr()));
  });
  c.def("__hash__", [](const Tensor& x) { return std::hash<const void*>()(x.impl().get()); });
  c.def("__repr__", &repr);
  c.def("__format__", [](const Tensor& x, const std::string& spec) -> py::str {
    if (spec.empty()) return repr(x);
    return py::module_::import("builtins").attr("format")(item(x), spec);
  });
}

void bind_conversions(TensorClass& c) {
  c.def("item", &item, "The only element, as a Python number. ShapeError unless there is one.");
  c.def(
      "tolist", [](const Tensor& x) { return Any(numpy_view(on_cpu(x)).attr("tolist")()); },
      "The elements as nested lists of Python numbers.");
  c.def("__float__", [](const Tensor& x) { return py::float_(item(x)); });
  c.def("__int__", [](const Tensor& x) { return py::int_(item(x)); });
  c.def("__bool__", [](const Tensor& x) {
    check<ArgumentError>(x.numel() == 1, "bool", "only a tensor of one element is true or false; ",
                         "shape ", x.shape(), " has ", x.numel());
    return without_gil([&] { return x.item(); }) != 0;
  });
  c.def("__index__", [](const Tensor& x) {
    check<DtypeError>(!is_floating(x.dtype()) && x.dtype() != DType::boolean && x.numel() == 1,
                      "index", "needs an integer tensor of one element, got ", x.dtype(), ' ',
                      x.shape());
    return py::int_(item(x));
  });
  c.def("numpy", &numpy_view, R"doc(A NumPy array on the same memory, without a copy.

The array keeps the memory alive, also when the tensor is gone. It is a detached view: for a
tensor that requires a gradient, what NumPy does with it is not recorded. After writing into it,
call ``bump_version()`` if a tape may have saved the tensor. DeviceError for a tensor on the GPU:
``x.to("cpu").numpy()``.
)doc");
  c.def("__array__", &array_of, py::arg("dtype") = py::none(), py::kw_only(),
        py::arg("copy") = py::none(), "``numpy()``, for ``np.asarray``.");
  c.def_buffer(&buffer_of);
  c.def("__dlpack__", &dlpack, py::kw_only(), py::arg("stream") = py::none(),
        py::arg("max_version") = py::none(), py::arg("dl_device") = py::none(),
        py::arg("copy") = py::none(),
        R"doc(A DLPack capsule on the same memory: what ``np.from_dlpack`` and its like call.

A detached view, also of a tensor that requires a gradient. The capsule is of version 1.0 if
``max_version`` allows, else unversioned. ``copy=True`` exports a copy, as does
``dl_device=(1, 0)``, the CPU, of a tensor on the GPU. There ``stream`` is the consumer's CUDA
stream (1 or None: the default one), which will wait for the work that computes the tensor; -1:
nothing waits.
)doc");
  c.def("__dlpack_device__", &dlpack_device,
        "``(1, 0)``: the CPU's memory; ``(2, 0)``: the GPU's.");
}

void bind_storage(TensorClass& c) {
  c.def(
      "reshape",
      [](const Tensor& x, const py::args& shape) { return x.reshape(shape_from(shape)); },
      R"doc(Same storage, other shape; one length may be -1.

``t.reshape(2, 3)`` or ``t.reshape((2, 3))``. ShapeError unless the number of elements stays.
)doc");
  c.def("clone", &Tensor::clone, ReleaseGil(),
        "A copy with storage of its own; recorded. "
        "``x.detach().clone()`` copies the values alone.");
  c.def("to", &to, py::arg("target"), R"doc(A copy with another dtype or on another device.

Args:
    target: a dtype (``"float64"``, ``np.int64``, ...), a device (``"cpu"``, ``"cuda"``) or a
        tensor, whose dtype and device it gets.

The tensor itself if nothing changes. From floating to floating it is recorded, and so is a change
of device. A floating dtype rounds, and what is too large for it becomes infinite; an integer dtype
takes what lies in its range, rounded towards zero; bool is whether a value is other than 0.

Raises:
    ArgumentError: a value, or NaN, does not fit an integer dtype, with its place. On the GPU it
        becomes the nearest that does, NaN becomes 0.
    DeviceError: there is no GPU; :func:`normlab.cuda.why_not` says why.
)doc");
  c.def(
      "astype", [](const Tensor& x, DType dtype) { return x.to(dtype); }, py::arg("dtype"),
      ReleaseGil(), "A copy with another dtype; the tensor itself if it has that already.");
}

void bind_elements(TensorClass& c) {
  // Returning a reference to the object gives Python the same object.
  c.def(
      "copy_", [](Tensor& x, const Tensor& other) -> Tensor& { return x.copy_(other), x; },
      py::arg("other"), ReleaseGil(),
      R"doc(Takes the values of ``other`` (same shape and dtype), in place. Returns the tensor.

GradError on the result of a recorded op; allowed on leaves such as parameters.
)doc");
  c.def(
      "fill_", [](Tensor& x, Scalar value) -> Tensor& { return x.fill_(value), x; },
      py::arg("value"), ReleaseGil(),
      "Sets every element, in place. Returns the tensor. ArgumentError if an integer dtype does "
      "not "
      "hold the value exactly; GradError on the result of a recorded op.");
  c.def(
      "zero_", [](Tensor& x) -> Tensor& { return x.fill_(0), x; }, ReleaseGil(), "``fill_(0)``.");
  c.def("__getitem__", &tensor_index, py::arg("key"), R"doc(NumPy's indexing, in part.

Integers, slices with a positive step, ``...``, ``None`` and tuples of them; as the first index
also an integer array (rows) or a boolean mask over the first axes. Integers and slices of the
first axis with step 1 share storage; everything else copies. All of it is recorded.
)doc");
  c.def("__setitem__", [](const Tensor&, const Any&, const Any&) {
    fail<DtypeError>("Tensor",
                     "elements cannot be assigned. Use t.copy_(values) to replace all of "
                     "a leaf, nl.where(mask, a, b) or nl.masked_fill(t, mask, value) for a new "
                     "tensor, or write into t.numpy()");
  });
}

void bind_copies(TensorClass& c) {
  c.def("__copy__", [](const Tensor& x) { return x; });
  c.def(
      "__deepcopy__",
      [](const Tensor& x, const py::typing::Dict<Any, Any>&) { return copied_leaf(x, "deepcopy"); },
      py::arg("memo"));
  c.def(py::pickle(&state_of, &of_state));
}

}  // namespace

TensorClass bind_tensor(py::module_& m) {
  TensorClass c(m, "Tensor", py::buffer_protocol(), py::is_final(), kTensorDoc);
  c.def(py::init([](const py::array& array) { return tensor_from_array(array); }), py::arg("array"),
        "As :func:`normlab.tensor`.");
  py::implicitly_convertible<py::array, Tensor>();
  bind_attributes(c);
  bind_conversions(c);
  bind_storage(c);
  bind_elements(c);
  bind_copies(c);
  return c;
}

}  // namespace normlab::bindings
