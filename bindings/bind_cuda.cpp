#include "bind.h"
#include "normlab/cuda.h"

namespace normlab::bindings {
namespace {

constexpr const char* kGraphDoc =
    R"doc(A training step that is recorded once and then queued as a whole.

A step of a small network takes longer to launch, kernel by kernel, than to run::

    x, y = nl.zeros((32, 784), device="cuda"), nl.zeros(32, dtype="int64", device="cuda")

    def step():
        optimizer.zero_grad()  # first: gradients then have their place in the graph
        loss = nl.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    step()                      # once as it is: makes what is made at a first time
    graph = nl.cuda.Graph()
    loss = graph.capture(step)  # runs nothing
    for images, labels in batches:
        x.copy_(images)         # the inputs' tensors stay, their values change
        y.copy_(labels)
        graph.replay()          # bit for bit what step() would do; loss has its value

Tensors that ``step`` makes get their values with each replay, always in the same place. What depends
on the step's number goes along: the optimizer's learning rate and bias correction, and random
numbers. What is used from outside must stay on the GPU where it is. What Python does within ``step``
happens at ``capture()`` alone.
)doc";

/// A generator's or coroutine's first step comes after the call, when nothing is recorded.
void check_has_run(const py::object& result) {
  PyObject* p = result.ptr();
  check<DtypeError>(!PyGen_CheckExact(p) && !PyCoro_CheckExact(p) && !PyAsyncGen_CheckExact(p),
                    "capture", "body must be a plain function: it returned a ", class_name(result),
                    ", of which nothing has run");
}

void bind_graph(py::module_& m) {
  py::class_<cuda::Graph>(m, "Graph", py::dynamic_attr(), kGraphDoc)
      .def(py::init<>())
      .def(
          "capture",
          [](const py::object& self, const py::typing::Callable<Any()>& body) {
            self.attr("_body") = py::none();
            py::object result;
            self.cast<cuda::Graph&>().capture([&] {
              result = body();
              check_has_run(result);
            });
            self.attr("_body") = body;  // keeps alive what it uses
            return Any(result);
          },
          py::arg("body"),
          R"doc(Records what ``body()`` queues, in place of what was recorded, and returns its result.

No other thread may use the GPU meanwhile.

Raises:
    DeviceError: no GPU, a capture within a capture, or something that would have to wait for a
        result (``item()``, ``to("cpu")``, ...) or take values from the CPU.
    GradError: a gradient that was there before the body's ``zero_grad()``.
    DtypeError: ``body`` is a generator or ``async`` function.
    Exception: whatever ``body`` raises. Nothing is recorded then.
)doc")
      .def("replay", &cuda::Graph::replay, ReleaseGil(),
           "Queues it. ArgumentError if nothing is recorded, the random numbers have another seed "
           "than at ``capture()``, or an optimizer is gone.")
      .def_property_readonly("captured", &cuda::Graph::captured, "True if something is recorded.");
}

void bind_availability(py::module_& m) {
  m.def("is_available", &cuda::is_available, ReleaseGil(),
        "True if a GPU can be used. Loads the CUDA library at the first call.\n\nExample:\n"
        "    >>> nl.cuda.is_available() == (nl.cuda.why_not() == '')\n    True");
  m.def(
      "why_not", [] { return cuda::why_not(); }, ReleaseGil(),
      "Why no GPU can be used; empty if one can.\n\nExample:\n"
      "    >>> nl.cuda.why_not() == nl.build_info()['cuda_reason']\n    True");
}

void bind_properties(py::module_& m) {
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

Example:
    >>> sorted(nl.cuda.properties())
    ['compute_capability', 'memory', 'multiprocessors', 'name']
)doc");
}

void bind_tf32(py::module_& m) {
  m.def("allow_tf32", &cuda::set_allow_tf32, py::arg("allowed"),
        R"doc(Lets float32 matrix products round their operands to TF32.

TF32 has 10 bits of fraction (errors of 1e-3), which tensor cores multiply several times as fast.
Off until it is turned on. Convolutions stay in full precision.

Args:
    allowed: True to turn it on, False to turn it off.

Example:
    >>> nl.cuda.allow_tf32(True)
    >>> nl.cuda.tf32_allowed()
    True
    >>> nl.cuda.allow_tf32(False)
)doc");
  m.def("tf32_allowed", &cuda::tf32_allowed,
        "True if allow_tf32() has turned TF32 on.\n\nExample:\n"
        "    >>> nl.cuda.tf32_allowed()\n    False");
}

void bind_queue(py::module_& m) {
  m.def("synchronize", &cuda::synchronize, ReleaseGil(),
        "Waits until all queued work is done. DeviceError if any of it failed, or without a GPU."
        "\n\nExample:\n    >>> z = nl.ones(3, device='cuda') + 1\n    >>> nl.cuda.synchronize()");
  m.def(
      "memory_stats", [] { return memory_dict(cuda::memory_stats()); },
      "As nl.memory_stats(), of the GPU's memory. DeviceError without a GPU.\n\nExample:\n"
      "    >>> x = nl.ones(1000, device='cuda')\n"
      "    >>> nl.cuda.memory_stats()['in_use'] >= x.nbytes\n    True");
  m.def("empty_cache", &cuda::empty_cache, ReleaseGil(),
        "Gives the cached blocks back to the driver. DeviceError without a GPU.\n\nExample:\n"
        "    >>> nl.cuda.empty_cache()\n    >>> nl.cuda.memory_stats()['cached']\n    0");
  m.def(
      "stream", [] { return reinterpret_cast<uintptr_t>(cuda::native_stream()); },
      "The address of the CUDA stream on which work is queued: for "
      "``torch.cuda.ExternalStream(nl.cuda.stream())`` and its like.\n\nExample:\n"
      "    >>> nl.cuda.stream() == nl.cuda.stream()\n    True");
}

}  // namespace

void bind_cuda(py::module_& m) {
  bind_availability(m);
  bind_properties(m);
  bind_tf32(m);
  bind_queue(m);
  bind_graph(m);
}

}  // namespace normlab::bindings
