#include <array>
#include <fstream>
#include <string_view>

#include "bind.h"

namespace normlab::bindings {
namespace {

/// True if the file begins as a zip archive. False if it cannot be read.
bool is_zip(const std::filesystem::path& path) {
  std::array<char, 4> first{};
  std::ifstream file(path, std::ios::binary);
  return file.read(first.data(), first.size()) &&
         std::string_view(first.data(), first.size()) == "PK\3\4";
}

TensorFile read(const std::filesystem::path& path, const std::string& device) {
  if (!without_gil([&] { return is_zip(path); }))
    return without_gil([&] { return load(path.string(), device_named(device)); });
  const py::object found = py::module_::import("normlab._torch_file").attr("read")(path);
  auto parts = found.cast<std::pair<TensorMap, Metadata>>();
  TensorFile file{std::move(parts.first), std::move(parts.second)};
  without_gil([&] {
    for (auto& [name, tensor] : file.tensors) tensor = tensor.to(device_named(device));
  });
  return file;
}

void bind_saving(py::module_& m) {
  m.def(
      "save",
      [](const std::filesystem::path& path, const TensorMap& tensors,
         const std::optional<Metadata>& metadata, bool allow_nonfinite) {
        save(path.string(), tensors, metadata.value_or(Metadata{}), allow_nonfinite);
      },
      py::arg("path"), py::arg("tensors"), py::arg("metadata") = py::none(), py::kw_only(),
      py::arg("allow_nonfinite") = false, ReleaseGil(),
      R"doc(Writes tensors by name into a safetensors file.

Into a temporary file beside it, synced and renamed: a crash at any moment leaves either the old
file or the new one.

Args:
    path: where.
    tensors: a dict of names and tensors.
    metadata: a dict of free text, str to str.
    allow_nonfinite: write parameters that hold infinities or NaN too. Other tensors, such as
        statistics and masks, may hold any number.

Raises:
    FileError: with path and reason.
    ArgumentError: a name that the format reserves; a parameter (a leaf that requires a gradient)
        that is not finite, with its name and the place.

Example:
    >>> nl.save("net.safetensors", nl.nn.Linear(2, 3).state())
)doc");
}

void bind_loading(py::module_& m) {
  m.def(
      "load",
      [](const std::filesystem::path& path, const std::string& device) {
        return read(path, device).tensors;
      },
      py::arg("path"), py::kw_only(), py::arg("device") = "cpu",
      R"doc(Reads the tensors of a file to a device, as a dict by name.

A safetensors file, or one that ``torch.save`` has written: of that the tensors alone, by their
names, those in dicts within dicts by names with dots. No code of it runs. Types that there are none
of here become the smallest that holds their values: float16 float32; int8, int16 and uint16 int32;
uint32 and uint64 int64.

FileError, with the path and what is wrong, for a file that is absent or cannot be trusted.

Example:
    >>> nl.save("net.safetensors", nl.nn.Linear(2, 3).state())
    >>> nl.load("net.safetensors")["weight"].shape
    (3, 2)
)doc");
  m.def(
      "load_with_metadata",
      [](const std::filesystem::path& path, const std::string& device) {
        TensorFile file = read(path, device);
        return std::pair(std::move(file.tensors), std::move(file.metadata));
      },
      py::arg("path"), py::kw_only(), py::arg("device") = "cpu",
      "Reads (tensors, metadata) of a file, two dicts; the tensors to a device. See "
      ":func:`normlab.load`. In one of PyTorch's, numbers and text beside the tensors are "
      "metadata.\n\nExample:\n"
      "    >>> nl.save('net.safetensors', {'w': nl.ones(2)}, {'task': 'mnist'})\n"
      "    >>> nl.load_with_metadata('net.safetensors')[1]\n    {'task': 'mnist'}");
}

}  // namespace

void bind_io(py::module_& m) {
  bind_saving(m);
  bind_loading(m);
}

}  // namespace normlab::bindings
