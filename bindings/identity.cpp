#include "identity.h"

#include <algorithm>
#include <unordered_map>

namespace normlab::bindings {
namespace {

/// Weak references, by what the handles point to; the interpreter's lock guards them. Never
/// destroyed: Python may be gone by then.
using Objects = std::unordered_map<const TensorImpl*, py::weakref>;
Objects& objects() {
  static auto* all = new Objects;
  return *all;
}

/// Drops the dead as soon as they may be the most.
void sweep() {
  static size_t next = 1024;
  if (objects().size() < next) return;
  std::erase_if(objects(), [](const auto& entry) { return entry.second().is_none(); });
  next = std::max<size_t>(1024, 2 * objects().size());
}

/// None unless one is alive.
py::object living(const Tensor& x) {
  const auto found = objects().find(x.impl().get());
  return found == objects().end() ? py::none() : py::object(found->second());
}

}  // namespace

void keep_tensor_object(const py::object& tensor) {
  const auto& x = tensor.cast<const Tensor&>();
  if (!living(x).is_none()) return;
  sweep();
  objects().insert_or_assign(x.impl().get(), py::weakref(tensor));
}

TensorObject tensor_object(const Tensor& x) {
  py::object object = living(x);
  if (object.is_none()) {
    object = py::cast(x);
    keep_tensor_object(object);
  }
  return TensorObject(object);
}

py::typing::List<Tensor> tensor_objects(const std::vector<Tensor>& tensors) {
  py::list list;
  for (const Tensor& x : tensors) list.append(tensor_object(x));
  return py::typing::List<Tensor>(list);
}

py::typing::Dict<py::str, Tensor> tensor_objects(const TensorMap& tensors) {
  py::dict dict;
  for (const auto& [name, x] : tensors) dict[py::str(name)] = tensor_object(x);
  return py::typing::Dict<py::str, Tensor>(dict);
}

NamedTensorObjects tensor_objects(const std::vector<std::pair<std::string, Tensor>>& tensors) {
  py::list list;
  for (const auto& [name, x] : tensors) list.append(py::make_tuple(name, tensor_object(x)));
  return NamedTensorObjects(list);
}

}  // namespace normlab::bindings
