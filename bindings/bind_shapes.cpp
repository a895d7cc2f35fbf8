#include <algorithm>
#include <numeric>

#include "bind_ops.h"

namespace normlab::bindings {
namespace {

/// transpose(0, 1) swaps two axes in PyTorch, and is the order that all have in NumPy and here: for
/// a matrix, the one it has already. Whoever means the swap shall not get what he did not mean.
void check_not_swap(const Tensor& x, const std::vector<int>& order) {
  const int rank = x.rank();
  if (order.size() != 2 || rank < 2) return;
  const int a = order[0] < 0 ? order[0] + rank : order[0];
  const int b = order[1] < 0 ? order[1] + rank : order[1];
  if (std::min(a, b) < 0 || std::max(a, b) >= rank || a == b) return;  // transpose() says it
  std::vector<int> swapped(rank);
  std::iota(swapped.begin(), swapped.end(), 0);
  std::swap(swapped[a], swapped[b]);
  if (swapped == std::vector{a, b}) return;
  std::string axes;
  for (const int axis : swapped) axes += (axes.empty() ? "" : ", ") + std::to_string(axis);
  fail("transpose", "takes all axes in their new order, as NumPy's; transpose(", axes, ") swaps ",
       order[0], " and ", order[1], " of a tensor of shape ", x.shape());
}

/// The order that transpose() was given: one argument, or axis by axis.
std::vector<int> order_from(const Tensor& x, const py::args& args) {
  if (args.empty() || (args.size() == 1 && args[0].is_none())) return {};
  const bool listed = args.size() == 1 && PySequence_Check(py::object(args[0]).ptr());
  const py::object source = listed ? py::object(args[0]) : py::object(args);
  auto order = axes_from(source);
  if (!order)
    fail<DtypeError>("transpose", "axes must be integers, got ", std::string(py::repr(source)));
  if (!listed) check_not_swap(x, *order);
  return *std::move(order);
}

void bind_shapes(py::module_& m, TensorClass& c) {
  const char* transpose_doc =
      "Axes in another order, reversed by default; copies. ``t.transpose(1, 0)`` or "
      "``t.transpose((1, 0))``: all axes, as NumPy's.";
  const auto in_order = [](const Tensor& x, const py::args& axes) {
    const std::vector<int> order = order_from(x, axes);
    return without_gil([&] { return transpose(x, order); });
  };
  m.def(
      "reshape", [](const Tensor& x, const Shape& shape) { return x.reshape(shape); }, py::arg("x"),
      py::arg("shape"),
      "Same storage, other shape; one length may be -1.\n\nExample:\n"
      "    >>> nl.reshape(nl.arange(6), (2, -1)).shape\n    (2, 3)");
  m.def(
      "transpose",
      [](const Tensor& x, const std::optional<Axes>& axes) { return transpose(x, list_of(axes)); },
      py::arg("x"), py::arg("axes") = py::none(), ReleaseGil(),
      "Axes in another order, reversed by default; copies.\n\nExample:\n"
      "    >>> nl.transpose(nl.zeros((2, 3, 4)), (0, 2, 1)).shape\n    (2, 4, 3)");
  m.def("transpose", in_order, py::arg("x"),
        "The same, given axis by axis: ``transpose(x, 1, 0)``.");
  c.def("transpose", in_order, transpose_doc);
  c.def_property_readonly(
      "T", [](const Tensor& x) { return without_gil([&] { return transpose(x); }); },
      "Axes reversed; a copy.");
  m.def("flatten", &flatten, py::arg("x"), py::arg("start") = 0, py::arg("end") = -1,
        "Joins axes start to end (both included) into one; shares storage.\n\nExample:\n"
        "    >>> nl.flatten(nl.zeros((2, 3, 4)), start=1).shape\n    (2, 12)");
  c.def("flatten", &flatten, py::arg("start") = 0, py::arg("end") = -1,
        "Joins axes start to end (both included) into one; shares storage.");
  bind_both(m, c, "broadcast_to", &broadcast_to, py::arg("shape"),
            "Broadcast to a shape; copies.\n\nExample:\n"
            "    >>> nl.broadcast_to(nl.tensor([1, 2]), (2, 2)).tolist()\n    [[1, 2], [1, 2]]");
  m.def("concat", &concat, py::arg("parts"), py::arg("axis") = 0, ReleaseGil(),
        "Joined along an axis; the other lengths and the dtypes must agree.\n\nExample:\n"
        "    >>> nl.concat([nl.zeros((2, 1)), nl.ones((2, 2))], axis=1).tolist()\n"
        "    [[0.0, 1.0, 1.0], [0.0, 1.0, 1.0]]");
  m.def("slice", py::overload_cast<const Tensor&, int, int64_t, int64_t, int64_t>(&slice),
        py::arg("x"), py::arg("axis"), py::arg("begin"), py::arg("end"), py::arg("step") = 1,
        ReleaseGil(),
        "Elements begin, begin + step, ... before end along an axis; copies. step > 0."
        "\n\nExample:\n    >>> nl.slice(nl.arange(10), axis=0, begin=2, end=9, step=3).tolist()\n"
        "    [2, 5, 8]");
}

void bind_indexing(py::module_& m, TensorClass& c) {
  bind_both(m, c, "gather", &gather, py::arg("axis"), py::arg("index"), R"doc(Elements by index.

z[i, j, ...] = x[i, index[i, j, ...], ...] along ``axis``. ``index`` (int32 or int64) has x's
rank and is at most as long on the other axes. Repeated indices add their gradients.
RangeError with place and value for an index outside.

Example:
    >>> nl.gather(nl.tensor([[1, 2], [3, 4]]), 1, nl.tensor([[1], [0]])).tolist()
    [[2], [3]]
)doc");
  bind_both(m, c, "take", &take, py::arg("index"),
            "Rows of the first axis: shape ``index.shape + x.shape[1:]``. As x[index]; NumPy's and "
            "PyTorch's take() is ``x.reshape(-1)[index]``.\n\nExample:\n"
            "    >>> nl.take(nl.tensor([[1, 2], [3, 4]]), nl.tensor([1, 0, 1])).tolist()\n"
            "    [[3, 4], [1, 2], [3, 4]]");
  m.def("embedding", &embedding, py::arg("weight"), py::arg("index"),
        py::arg("padding_index") = py::none(), ReleaseGil(),
        R"doc(Rows of a weight table ``(V, D)``; shape ``index.shape + (D,)``.

The gradient arrives as sparse rows (``weight.sparse_grad``), on the GPU dense; that of row
``padding_index`` is zero. RangeError with place and value for an index outside [0, V).

Example:
    >>> nl.embedding(nl.zeros((10, 4)), nl.tensor([[1, 2, 3]])).shape
    (1, 3, 4)
)doc");
}

}  // namespace

void bind_rearrangements(py::module_& m, TensorClass& c) {
  bind_shapes(m, c);
  bind_indexing(m, c);
}

}  // namespace normlab::bindings
