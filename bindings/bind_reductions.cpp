#include "bind_ops.h"

namespace normlab::bindings {
namespace {

/// A function of a tensor, the axes and keepdim, as Python calls it.
auto over_axes(Tensor (*function)(const Tensor&, const std::vector<int>&, bool)) {
  return [function](const Tensor& x, const std::optional<Axes>& axes, bool keep) {
    return function(x, list_of(axes), keep);
  };
}

void bind_sums(py::module_& m, TensorClass& c) {
  const auto axis = py::arg("axis") = py::none();
  const auto keepdim = py::arg("keepdim") = false;
  bind_both(m, c, "sum", over_axes(sum), axis, keepdim,
            "Sum over the axes (an int, several, or None: all).\n\nExample:\n"
            "    >>> nl.sum(nl.ones((2, 3, 4)), (0, 2)).tolist()\n    [8.0, 8.0, 8.0]");
  bind_both(m, c, "mean", over_axes(mean), axis, keepdim,
            "Mean over the axes (an int, several, or None: all); of integers and bools float32. "
            "ShapeError if empty.\n\nExample:\n"
            "    >>> nl.mean(nl.tensor([[1, 2], [3, 4]]), axis=1, keepdim=True).tolist()\n"
            "    [[1.5], [3.5]]");
  bind_both(
      m, c, "var",
      [](const Tensor& x, const std::optional<Axes>& axes, bool keep, int correction) {
        return var(x, list_of(axes), keep, correction);
      },
      // By name alone: in PyTorch, var(1, True) divides by n - 1.
      axis, py::kw_only(), keepdim, py::arg("correction") = 0,
      "Mean of squared deviations from the mean, divided by n - correction.\n\nExample:\n"
      "    >>> nl.var(nl.tensor([1.0, 2.0, 3.0]), correction=1).item()\n    1.0");
}

void bind_maxima(py::module_& m, TensorClass& c) {
  const auto axis = py::arg("axis") = py::none();
  const auto keepdim = py::arg("keepdim") = false;
  bind_both(
      m, c, "max",
      [](const Tensor& x, std::optional<int> at, bool keep) {
        if (at) return max(x, *at, keep);
        check<ArgumentError>(!keep, "max", "keepdim needs an axis");
        return max(x);
      },
      // By name alone: PyTorch's max(1) is a pair, and values[0] would be taken for its values.
      py::kw_only(), axis, keepdim,
      "Greatest element, of all or along an axis; the gradient goes to the first of equals. "
      "NaN wins.\n\nExample:\n"
      "    >>> nl.max(nl.tensor([[1, 5], [7, 3]]), axis=1).tolist()\n    [5, 7]");
  bind_both(
      m, c, "argmax",
      [](const Tensor& x, std::optional<int> at, bool keep) {
        if (at) return argmax(x, *at, keep);
        check<ArgumentError>(!keep, "argmax", "keepdim needs an axis");
        return argmax(x.reshape({-1}));
      },
      axis, keepdim,
      "Index of the greatest element (first of equals), int64, along an axis; None: in the "
      "flattened tensor, as NumPy does.\n\nExample:\n"
      "    >>> nl.argmax(nl.tensor([[1, 3], [3, 0]])).item()\n    1");
}

void bind_lengths(py::module_& m, TensorClass& c) {
  bind_both(m, c, "logsumexp", over_axes(logsumexp), py::arg("axis") = py::none(),
            py::arg("keepdim") = false,
            R"doc(log(sum(exp(x))) over the axes (an int, several, or None: all).

Shifted by the greatest element, so that it neither overflows nor underflows; -inf where all
elements are, or where there is none. The gradient is softmax(x): 0 where the result is -inf, shared
among the elements that are inf where one is.

Example:
    >>> round(nl.logsumexp(nl.tensor([1000.0, 1000.0])).item(), 2)
    1000.69
)doc");
  bind_both(m, c, "l2_normalize", &l2_normalize, py::arg("axis") = -1, py::arg("eps") = 1e-12,
            R"doc(x / max(||x||, eps), the Euclidean norm being along ``axis``.

PyTorch's ``torch.nn.functional.normalize``, whose axis is 1 by default. A row of zeros stays zeros;
the squares of large and small elements neither overflow nor underflow.

Raises:
    ArgumentError: eps is negative or not finite.

Example:
    >>> x = nl.tensor([[3.0, 4.0], [0.0, 0.0]], dtype="float64")
    >>> nl.l2_normalize(x).numpy().round(4).tolist()
    [[0.6, 0.8], [0.0, 0.0]]
)doc");
}

}  // namespace

void bind_reductions(py::module_& m, TensorClass& c) {
  bind_sums(m, c);
  bind_maxima(m, c);
  bind_lengths(m, c);
}

}  // namespace normlab::bindings
