#pragma once

// Parameters and buffers as Python objects. A handle that the engine hands out becomes a new object
// each time; what pickle and deepcopy take for the same tensor is the same object. So a parameter
// has one object for as long as anybody holds it.

#include "casters.h"

namespace normlab::bindings {

/// The tensor's object if one is alive, else a new one.
TensorObject tensor_object(const Tensor& x);
/// Makes this the tensor's object, unless another is alive.
void keep_tensor_object(const py::object& tensor);

py::typing::List<Tensor> tensor_objects(const std::vector<Tensor>& tensors);
py::typing::Dict<py::str, Tensor> tensor_objects(const TensorMap& tensors);
using NamedTensorObjects = py::typing::List<py::typing::Tuple<py::str, Tensor>>;
NamedTensorObjects tensor_objects(const std::vector<std::pair<std::string, Tensor>>& tensors);

}  // namespace normlab::bindings
