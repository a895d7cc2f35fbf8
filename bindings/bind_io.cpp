#include "bind.h"

namespace normlab::bindings {

void bind_io(py::module_& m) {
  m.def(
      "save",
      [](const std::filesystem::path& path, const TensorMap& tensors,
         const std::optional<Metadata>& metadata) {
        save(path.string(), tensors, metadata.value_or(Metadata{}));
      },
      py::arg("path"), py::arg("tensors"), py::arg("metadata") = py::none(), ReleaseGil(),
      R"doc(Writes tensors by name into a safetensors file.

Into a temporary file beside it, synced and renamed: a crash at any moment leaves either the old
file or the new one.

Args:
    path: where.
    tensors: a dict of names and tensors.
    metadata: a dict of free text, str to str.

Raises:
    FileError: with path and reason.
    ArgumentError: a name that the format reserves.
)doc");
  m.def(
      "load",
      [](const std::filesystem::path& path, const std::string& device) {
        return load(path.string(), device_named(device)).tensors;
      },
      py::arg("path"), py::kw_only(), py::arg("device") = "cpu", ReleaseGil(),
      R"doc(Reads the tensors of a safetensors file to a device, as a dict by name.

FileError, with the path and what is wrong, for a file that is absent or cannot be trusted.
)doc");
  m.def(
      "load_with_metadata",
      [](const std::filesystem::path& path, const std::string& device) {
        TensorFile file = load(path.string(), device_named(device));
        return std::pair(std::move(file.tensors), std::move(file.metadata));
      },
      py::arg("path"), py::kw_only(), py::arg("device") = "cpu", ReleaseGil(),
      "Reads (tensors, metadata) of a safetensors file, two dicts; the tensors to a device.");
}

}  // namespace normlab::bindings
