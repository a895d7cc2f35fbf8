#include "bind.h"
#include "normlab/info.h"

namespace normlab::bindings {

void bind_info(py::module_& m) {
  m.def(
      "build_info",
      [](bool gpu) {
        const BuildInfo info = build_info(gpu);
        py::typing::Dict<py::str, py::object> d;
        d["version"] = info.version;
        d["isa"] = info.isa;
        d["onednn"] = info.onednn;
        d["threads"] = info.threads;
        d["compiler"] = info.compiler;
        d["cuda"] = info.cuda;
        d["cuda_reason"] = info.cuda_reason;
        return d;
      },
      py::kw_only(), py::arg("gpu") = true,
      R"doc(What this build is and what it found on this machine, as a dict.

Keys: ``version``, ``isa`` (instruction set of the CPU kernels: baseline, avx2 or avx512),
``onednn`` (version of the library that is loaded), ``threads``, ``compiler``, ``cuda`` (whether
a GPU can be used) and ``cuda_reason`` (why not).

Args:
    gpu: False does not look for a GPU, which opens it; ``cuda`` is then False.
)doc");
}

}  // namespace normlab::bindings
