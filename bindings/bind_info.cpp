#include <thread>

#include "bind.h"
#include "normlab/info.h"
#include "normlab/matmul_precision.h"

namespace normlab::bindings {
namespace {

/// A MatmulPrecisionScope for `with`: one object may be entered again, and by several threads.
class PrecisionGuard {
 public:
  explicit PrecisionGuard(const std::string& name) : precision_(matmul_precision_named(name)) {}
  void enter() {
    scopes_[std::this_thread::get_id()].push_back(
        std::make_unique<MatmulPrecisionScope>(precision_));
  }
  void exit() {
    const auto here = scopes_.find(std::this_thread::get_id());
    check<ArgumentError>(here != scopes_.end(), "matmul_precision",
                         "this thread leaves a block that it has not entered");
    here->second.pop_back();
    if (here->second.empty()) scopes_.erase(here);
  }

 private:
  MatmulPrecision precision_;
  std::map<std::thread::id, std::vector<std::unique_ptr<MatmulPrecisionScope>>> scopes_;
};

void bind_machine(py::module_& m) {
  m.def(
      "memory_stats", [] { return memory_dict(memory_stats()); },
      R"doc(Memory of the caching allocator, in bytes.

Keys: ``in_use`` (handed out now), ``peak`` (the most ever), ``cached`` (kept for reuse) and
``system_calls`` (how many allocations went to the system; a steady training step makes none).

Example:
    >>> x = nl.ones(1000)
    >>> nl.memory_stats()["in_use"] >= x.nbytes
    True
)doc");
  m.def("empty_cache", &empty_cache, ReleaseGil(),
        "Gives cached memory back to the system.\n\nExample:\n"
        "    >>> nl.empty_cache()\n    >>> nl.memory_stats()[\"cached\"]\n    0");
  m.def("set_num_threads", &set_num_threads, py::arg("n"),
        "Sets how many CPU threads the engine uses at most; results do not depend on it. Loops use "
        "fewer while other work holds the processors. A process that "
        "was forked from one that had several at work starts with 1, so that the workers of a "
        "pool do not crowd the machine; this call gives it threads of its own.\n\nExample:\n"
        "    >>> nl.set_num_threads(2)\n    >>> nl.num_threads()\n    2");
  m.def("num_threads", &num_threads,
        "How many CPU threads the engine uses.\n\nExample:\n"
        "    >>> nl.num_threads() == nl.build_info(gpu=False)[\"threads\"]\n    True");
}

void bind_precision(py::module_& m) {
  m.def(
      "get_matmul_precision", [] { return name_of(matmul_precision()); },
      "The precision of this thread's products, \"float32\" or \"bfloat16\".\n\nExample:\n"
      "    >>> nl.get_matmul_precision()\n    'float32'");
  m.def(
      "set_matmul_precision",
      [](const std::string& precision) { set_matmul_precision(matmul_precision_named(precision)); },
      py::arg("precision"),
      R"doc(Sets what the CPU rounds the inputs of float32 products to, in all threads.

With "bfloat16" the inputs of matmul, linear, conv2d, attention and feature_linear are rounded to
bfloat16, to nearest, ties to even. Their sums are float32, and so are parameters, statistics, norms
and optimizers. A derivative has its forward pass's precision. Processors with AMX gain speed;
``build_info()["bfloat16_products"]`` says what this one does. float64 and products on the GPU do not
change.

Args:
    precision: "float32", the default, or "bfloat16".

Raises:
    ArgumentError: Any other name.

Example:
    >>> nl.set_matmul_precision("bfloat16")
    >>> nl.matmul(nl.tensor([[1.001]]), nl.ones((1, 1))).item()
    1.0
    >>> nl.set_matmul_precision("float32")
)doc");
  py::class_<PrecisionGuard>(m, "_MatmulPrecisionGuard",
                             "The state of :class:`normlab.matmul_precision`.")
      .def(py::init<const std::string&>(), py::arg("precision"))
      .def("enter", &PrecisionGuard::enter, "Sets this thread's precision.")
      .def("exit", &PrecisionGuard::exit, "Ends what enter() began. ArgumentError if it did not.");
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
        d["bfloat16_products"] = info.bfloat16_products;
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
``bfloat16_products`` (how :func:`set_matmul_precision` multiplies: AMX, AVX512-BF16, or float32
after rounding),
``onednn`` (version of the library that is loaded), ``threads``, ``threads_reason`` (where their
number comes from), ``compiler``, ``cuda`` (whether a GPU can be used) and ``cuda_reason`` (why not).

Args:
    gpu: False does not look for a GPU, which opens it; ``cuda`` is then False.

Example:
    >>> nl.build_info(gpu=False)["isa"] in ("baseline", "avx2", "avx512")
    True
)doc");
  bind_machine(m);
  bind_precision(m);
}

}  // namespace normlab::bindings
