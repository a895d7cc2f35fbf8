#include "bind.h"
#include "normlab/info.h"

namespace normlab::bindings {
namespace {

void bind_machine(py::module_& m) {
  m.def(
      "memory_stats", [] { return memory_dict(memory_stats()); },
      R"doc(Memory of the caching allocator, in bytes.

Keys: ``in_use`` (handed out now), ``peak`` (the most ever), ``cached`` (kept for reuse) and
``system_calls`` (how many allocations went to the system; a steady training step makes none).
)doc");
  m.def("empty_cache", &empty_cache, ReleaseGil(), "Gives cached memory back to the system.");
  m.def("set_num_threads", &set_num_threads, py::arg("n"),
        "Sets how many CPU threads the engine uses at most; results do not depend on it. Loops use "
        "fewer while other work holds the processors. A process that "
        "was forked from one that had several at work starts with 1, so that the workers of a "
        "pool do not crowd the machine; this call gives it threads of its own.");
  m.def("num_threads", &num_threads, "How many CPU threads the engine uses.");
}

}  // namespace

std::map<std::string, int64_t> memory_dict(const MemoryStats& stats) {
  return {{"in_use", stats.in_use},
          {"peak", stats.peak},
          {"cached", stats.cached},
          {"system_calls", stats.system_calls}};
}

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
        d["threads_reason"] = info.threads_reason;
        d["compiler"] = info.compiler;
        d["cuda"] = info.cuda;
        d["cuda_reason"] = info.cuda_reason;
        return d;
      },
      py::kw_only(), py::arg("gpu") = true,
      R"doc(Facts of this build and of the machine, as a dict.

Keys: ``version``, ``isa`` (instruction set of the CPU kernels: baseline, avx2 or avx512),
``onednn`` (version of the library that is loaded), ``threads``, ``threads_reason`` (where their
number comes from), ``compiler``, ``cuda`` (whether a GPU can be used) and ``cuda_reason`` (why not).

Args:
    gpu: False does not look for a GPU, which opens it; ``cuda`` is then False.
)doc");
  bind_machine(m);
}

}  // namespace normlab::bindings
