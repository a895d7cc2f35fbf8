#pragma once

#include <map>
#include <string>

#include "casters.h"

namespace normlab::bindings {

using TensorClass = py::class_<Tensor>;

// One function a public header of the engine.
void bind_error(py::module_& m);
void bind_info(py::module_& m);
void bind_cuda(py::module_& m);
/// Declares the class; bind_ops() adds the operations to it.
TensorClass bind_tensor(py::module_& m);
void bind_factories(py::module_& m);
void bind_autograd(py::module_& m, TensorClass& tensor);
void bind_random(py::module_& m);
void bind_ops(py::module_& m, TensorClass& tensor);
/// Convolution and pooling, for bind_ops().
void bind_windows(py::module_& m);
void bind_norm(py::module_& m);
void bind_nn(py::module_& nn);
void bind_transformer(py::module_& nn);
void bind_optim(py::module_& optim);
void bind_io(py::module_& m);
void bind_probe(py::module_& m);
void bind_text(py::module_& text);
void bind_parse(py::module_& parse);

/// As Python sees them.
std::map<std::string, int64_t> memory_dict(const MemoryStats& stats);

}  // namespace normlab::bindings
