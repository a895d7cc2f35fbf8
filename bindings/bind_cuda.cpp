#include "bind.h"
#include "normlab/cuda.h"

namespace normlab::bindings {

void bind_cuda(py::module_& m) {
  m.def("is_available", &cuda::is_available, ReleaseGil(),
        "Whether a GPU can be used. Loads the CUDA library at the first call.");
  m.def(
      "why_not", [] { return cuda::why_not(); }, ReleaseGil(),
      "Why no GPU can be used; empty if one can.");
  m.def(
      "properties",
      [] {
        const cuda::Properties p = without_gil([] { return cuda::properties(); });
        py::typing::Dict<py::str, py::object> d;
        d["name"] = p.name;
        d["compute_capability"] = std::pair(p.major, p.minor);
        d["multiprocessors"] = p.multiprocessors;
        d["memory"] = p.memory;
        return d;
      },
      R"doc(The GPU's facts, as a dict.

Keys: ``name``, ``compute_capability`` (major, minor), ``multiprocessors`` and ``memory`` (bytes).
DeviceError with the reason if there is no GPU.
)doc");
  m.def("allow_tf32", &cuda::set_allow_tf32, py::arg("allowed"),
        R"doc(Whether float32 matrix products may round their operands to TF32.

TF32 has 10 bits of fraction (errors of 1e-3), which tensor cores multiply several times as fast.
Off until it is turned on. Convolutions stay in full precision.

Args:
    allowed: True to turn it on, False to turn it off.
)doc");
  m.def("tf32_allowed", &cuda::tf32_allowed, "Whether allow_tf32() has turned TF32 on.");
  m.def("synchronize", &cuda::synchronize, ReleaseGil(),
        "Waits until all queued work is done. DeviceError if any of it failed, or without a GPU.");
  m.def(
      "memory_stats", [] { return memory_dict(cuda::memory_stats()); },
      "As nl.memory_stats(), of the GPU's memory. DeviceError without a GPU.");
  m.def("empty_cache", &cuda::empty_cache, ReleaseGil(),
        "Gives the cached blocks back to the driver. DeviceError without a GPU.");
}

}  // namespace normlab::bindings
