#include "parameters.h"

#include <set>

namespace normlab::bindings {
namespace {

/// The items of anything that can be iterated over once, but for a tensor's rows.
std::optional<std::vector<py::object>> items_of(py::handle source) {
  if (py::isinstance<Tensor>(source)) return std::nullopt;
  const auto iterator = py::reinterpret_steal<py::iterator>(PyObject_GetIter(source.ptr()));
  if (!iterator) {
    PyErr_Clear();
    return std::nullopt;
  }
  std::vector<py::object> items;
  for (const py::handle item : iterator) items.push_back(py::reinterpret_borrow<py::object>(item));
  return items;
}

bool is_named_tensor(py::handle item) {
  if (!py::isinstance<py::tuple>(item)) return false;
  const auto pair = py::reinterpret_borrow<py::tuple>(item);
  return pair.size() == 2 && py::isinstance<py::str>(pair[0]) && py::isinstance<Tensor>(pair[1]);
}

/// Tensors, or pairs whose tensors are called so from now on; nullopt if the first item
/// is neither, DtypeError that names the item if a later one is.
std::optional<std::vector<Tensor>> tensors_of(const std::vector<py::object>& items) {
  std::vector<Tensor> tensors;
  std::set<std::string> names;
  for (const py::object& item : items) {
    const bool named = is_named_tensor(item);
    if (!named && !py::isinstance<Tensor>(item)) {
      // Where not even the first item fits, something else was meant: text, a dict, a module.
      check<DtypeError>(tensors.empty(), "optimizer", "params[", tensors.size(),
                        "] must be a Tensor or a (name, Tensor) pair, got ",
                        Py_TYPE(item.ptr())->tp_name);
      return std::nullopt;
    }
    const py::object tensor = named ? py::object(py::tuple(item)[1]) : item;
    tensors.push_back(tensor.cast<Tensor>());
    if (!named) continue;
    const auto name = py::tuple(item)[0].cast<std::string>();
    check<ArgumentError>(names.insert(name).second, "optimizer", "two parameters have the name '",
                         name, "'");
    nn::name_parameter(tensors.back(), name);
  }
  return tensors;
}

}  // namespace

ParameterGroup group_from(const py::dict& group) {
  check<ArgumentError>(group.contains("params"), "optimizer", "a group must have 'params', has ",
                       std::string(py::repr(py::list(group))));
  ParameterGroup result;
  for (const auto& [key, value] : group) result.options[key] = value;
  const py::object params = result.options.attr("pop")("params");
  std::optional<std::vector<Tensor>> tensors;
  if (py::isinstance<Tensor>(params))
    tensors = {params.cast<Tensor>()};
  else if (const auto items = items_of(params))
    tensors = tensors_of(*items);
  check<DtypeError>(tensors.has_value(), "optimizer",
                    "a group's 'params' must be tensors, or (name, tensor) pairs");
  result.tensors = std::move(*tensors);
  return result;
}

std::optional<Parameters> parameters_from(py::handle source) {
  const auto items = items_of(source);
  if (!items) return std::nullopt;
  Parameters parameters;
  if (!items->empty() && py::isinstance<py::dict>((*items)[0])) {
    for (const py::object& item : *items) {
      if (!py::isinstance<py::dict>(item)) return std::nullopt;
      parameters.groups.push_back(group_from(py::reinterpret_borrow<py::dict>(item)));
    }
    return parameters;
  }
  auto tensors = tensors_of(*items);
  if (!tensors) return std::nullopt;
  parameters.groups.push_back({std::move(*tensors), py::dict()});
  return parameters;
}

}  // namespace normlab::bindings
