#include "bind.h"
#include "shapes.h"

namespace normlab::bindings {
namespace {

/// zeros() and its like.
template <auto Make>
void bind_factory(py::module_& m, const char* name, const char* doc) {
  const auto make = [](const Shape& shape, std::optional<DType> dtype, const std::string& device,
                       bool requires_grad) {
    return finished(Make(shape, dtype.value_or(DType::float32), device_named(device)),
                    requires_grad);
  };
  def_shaped(m, name, +make, doc, py::arg("dtype") = py::none(), py::arg("device") = "cpu",
             py::arg("requires_grad") = false);
}

template <class T>
void bind_stepped(py::module_& m, const char* doc) {
  m.def(
      "arange",
      [](T start, T stop, T step, std::optional<DType> dtype, const std::string& device) {
        return Tensor::arange(start, stop, step, dtype).to(device_named(device));
      },
      py::arg("start"), py::arg("stop"), py::arg("step") = T(1), py::kw_only(),
      py::arg("dtype") = py::none(), py::arg("device") = "cpu", doc);
}

void bind_conversions(py::module_& m) {
  m.def(
      "tensor",
      [](const Any& array, bool requires_grad, std::optional<DType> dtype,
         const std::optional<std::string>& device, bool copy) {
        const Tensor x = tensor_from(array, dtype, copy);
        const Device where = device ? device_named(*device) : x.device();
        return finished(without_gil([&] { return x.to(where); }), requires_grad);
      },
      py::arg("array"), py::arg("requires_grad") = false, py::kw_only(),
      py::arg("dtype") = py::none(), py::arg("device") = py::none(), py::arg("copy") = false,
      R"doc(A tensor of what ``array`` holds.

A NumPy array (or a tensor, or anything with ``__dlpack__``) of a supported dtype that is
C-contiguous, writable and of native byte order is shared, not copied: a later change of the one
shows in the other. Other arrays are copied; float16 becomes float32, small integers int32 or
int64. Python floats become float32, ints int64, bools bool.

Args:
    array: an array, a number or nested lists of numbers.
    requires_grad: whether ``backward()`` shall give it a gradient.
    dtype: the element type; by default the array's.
    device: ``"cpu"`` or ``"cuda"``; by default where the array is.
    copy: copy even where the memory could be shared.

Raises:
    DtypeError: the elements are not real numbers or booleans.
    ArgumentError: an element does not fit an integer ``dtype``; names its place. See
        :meth:`Tensor.to`.
    GradError: a tensor within a list requires a gradient, which would be lost.
    ShapeError: nested lists of unequal length, or more than eight axes.
    DeviceError: a device that this build or machine lacks.

Example:
    >>> array = np.zeros(2)
    >>> x = nl.tensor(array)
    >>> array[0] = 1
    >>> x
    tensor([1., 0.], shape=(2,), dtype=float64)
)doc");
}

void bind_dlpack(py::module_& m) {
  m.def("from_dlpack", &tensor_from_dlpack, py::arg("source"),
        R"doc(A tensor on the memory of any object with ``__dlpack__`` (PyTorch, JAX, CuPy, ...).

Without a copy where it is writable, contiguous and of a supported dtype, else a copy. On the GPU
it must be contiguous and of a supported dtype; what the engine does with it waits for the work that
computes it, and the memory is given back when the engine is done with it. DeviceError if it is
neither in the CPU's nor in the first GPU's memory.

Example:
    >>> nl.from_dlpack(np.arange(3)).tolist()
    [0, 1, 2]
)doc");
}

void bind_filled(py::module_& m) {
  bind_factory<&Tensor::zeros>(m, "zeros",
                               "Zeros, float32 by default.\n\nExample:\n"
                               "    >>> nl.zeros(2, 3).tolist()\n"
                               "    [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]");
  bind_factory<&Tensor::ones>(m, "ones",
                              "Ones, float32 by default.\n\nExample:\n"
                              "    >>> nl.ones((2, 3), dtype='int32').tolist()\n"
                              "    [[1, 1, 1], [1, 1, 1]]");
  bind_factory<&Tensor::empty>(m, "empty",
                               "Uninitialised elements, float32 by default.\n\nExample:\n"
                               "    >>> nl.empty(2, 3).shape\n    (2, 3)");
  m.def(
      "full",
      [](const Shape& shape, Scalar value, std::optional<DType> dtype, const std::string& device,
         bool requires_grad) {
        return finished(
            Tensor::full(shape, value, dtype.value_or(DType::float32), device_named(device)),
            requires_grad);
      },
      py::arg("shape"), py::arg("value"), py::kw_only(), py::arg("dtype") = py::none(),
      py::arg("device") = "cpu", py::arg("requires_grad") = false,
      "A tensor of one value everywhere, float32 by default. ArgumentError if an integer dtype "
      "does not hold the value exactly.\n\nExample:\n"
      "    >>> nl.full((2, 2), 7, dtype='int32').tolist()\n    [[7, 7], [7, 7]]");
  m.def(
      "arange",
      [](int64_t n, std::optional<DType> dtype, const std::string& device) {
        return Tensor::arange(n, dtype.value_or(DType::int64)).to(device_named(device));
      },
      py::arg("n"), py::kw_only(), py::arg("dtype") = py::none(), py::arg("device") = "cpu",
      "0, 1, ..., n - 1; int64 by default.\n\nExample:\n"
      "    >>> nl.arange(3).tolist()\n    [0, 1, 2]\n    >>> nl.arange(1.0, 2.0, 0.25).tolist()\n"
      "    [1.0, 1.25, 1.5, 1.75]");
  bind_stepped<int64_t>(m, "start, start + step, ... before stop, as NumPy's.");
  bind_stepped<double>(m,
                       "start, start + step, ... before stop, in fractions; float32 by default.");
}

}  // namespace

void bind_factories(py::module_& m) {
  bind_conversions(m);
  bind_dlpack(m);
  bind_filled(m);
}

}  // namespace normlab::bindings
