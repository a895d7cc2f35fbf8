#include <algorithm>
#include <thread>

#include "bind.h"

namespace normlab::bindings {
namespace {

/// A NoGrad for `with`: one object may be entered again, and by several threads at once.
class NoGradGuard {
 public:
  void enter() { entered_.push_back({std::this_thread::get_id(), std::make_unique<NoGrad>()}); }
  /// Ends this thread's last one. A block in a generator that went from thread to thread has none
  /// here: it ends where it began.
  void exit() {
    check<GradError>(!entered_.empty(), "no_grad", "is left more often than it was entered");
    const auto here = std::ranges::find(entered_.rbegin(), entered_.rend(),
                                        std::this_thread::get_id(), &Entered::thread);
    entered_.erase(here == entered_.rend() ? entered_.end() - 1 : here.base() - 1);
  }

 private:
  struct Entered {
    std::thread::id thread;
    std::unique_ptr<NoGrad> off;
  };
  std::vector<Entered> entered_;
};

void bind_sparse_rows(py::module_& m) {
  py::class_<SparseRows>(m, "SparseRows",
                         "A gradient that is zero but for some rows of the first axis.")
      .def_property_readonly("rows", copied(&SparseRows::rows),
                             "Row numbers, int64 ``(n,)``, strictly rising.")
      .def_property_readonly("values", copied(&SparseRows::values),
                             "``(n, ...)``: one gradient a row.")
      .def_readonly("shape", &SparseRows::shape, "Shape of the dense tensor.")
      .def("dense", &SparseRows::dense, ReleaseGil(), "The values as a dense tensor.");
}

void bind_gradients(TensorClass& tensor) {
  tensor.def_property(
      "requires_grad", &Tensor::requires_grad, [](Tensor& x, bool on) { x.set_requires_grad(on); },
      R"doc(True if ``backward()`` computes a gradient for it.

May be set on leaves. DtypeError unless floating; GradError on the result of a recorded op.
)doc");
  tensor.def_property_readonly("is_leaf", &Tensor::is_leaf,
                               "True unless a recorded op produced it.");
  tensor.def_property(
      "grad", [](const Tensor& x) { return none_or_tensor(x.grad()); },
      [](Tensor& x, const std::optional<Tensor>& g) { x.set_grad(tensor_or_none(g)); },
      R"doc(The gradient of a leaf that ``backward()`` accumulates; None before the first.

May be set, or cleared with None. Where only an embedding has contributed, reading it makes a
dense copy of :attr:`sparse_grad`.
)doc");
  tensor.def_property_readonly(
      "sparse_grad",
      [](const Tensor& x) -> std::optional<SparseRows> {
        const auto rows = x.sparse_grad();
        return rows ? std::optional(*rows) : std::nullopt;
      },
      "The gradient as rows, where only an embedding has contributed; else None.");
}

void bind_tape(TensorClass& tensor) {
  tensor.def("zero_grad", &Tensor::zero_grad, "Clears the gradient.");
  tensor.def(
      "backward",
      [](const Tensor& x, const std::optional<Tensor>& g) { x.backward(tensor_or_none(g)); },
      py::arg("g") = py::none(), ReleaseGil(),
      R"doc(Adds dL/dleaf to the ``grad`` of every leaf behind this tensor.

Walks the tape once and frees it. First order only: gradients are never recorded themselves.

Args:
    g: dL/dself, of its shape and dtype; may be left out for a single element.

Raises:
    GradError: nothing behind it requires a gradient, the tape was freed before, a tensor that
        backward needs was changed in place, or an op on the way has no derivative.
)doc");
  tensor.def("detach", &Tensor::detach, "A tensor on the same storage, off the tape.");
  tensor.def("bump_version", &Tensor::bump_version,
             "Tells the tape that the values were changed from outside, as through ``numpy()``.");
}

void bind_recording(py::module_& m) {
  m.def("grad_enabled", &grad_enabled,
        "True if this thread records operations.\n\nExample:\n"
        "    >>> with nl.no_grad():\n    ...     nl.grad_enabled()\n    False");
  py::class_<NoGradGuard>(m, "_NoGradGuard", "The state of :class:`normlab.no_grad`.")
      .def(py::init<>())
      .def("enter", &NoGradGuard::enter, "Stops this thread's recording.")
      .def("exit", &NoGradGuard::exit, "Ends what enter() began. GradError if it did not.");
}

}  // namespace

void bind_autograd(py::module_& m, TensorClass& tensor) {
  bind_sparse_rows(m);
  bind_gradients(tensor);
  bind_tape(tensor);
  bind_recording(m);
}

}  // namespace normlab::bindings
