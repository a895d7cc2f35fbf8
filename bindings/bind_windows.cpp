#include "windows.h"

namespace normlab::bindings {
namespace {

void bind_convolution(py::module_& m) {
  m.def(
      "conv2d",
      [](const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias, Pair stride,
         Padding padding, Pair dilation, int64_t groups, Activation a) {
        return conv2d(x, weight, tensor_or_none(bias),
                      conv_options(stride, padding, dilation, groups, a));
      },
      py::arg("x"), py::arg("weight"), py::arg("bias") = py::none(), py::kw_only(),
      py::arg("stride") = 1, py::arg("padding") = 0, py::arg("dilation") = 1, py::arg("groups") = 1,
      py::arg("activation") = "none", ReleaseGil(),
      R"doc(2-D cross-correlation, as every framework's convolution.

Args:
    x: ``(N, C, H, W)``.
    weight: ``(O, C // groups, KH, KW)``.
    bias: ``(O,)`` or None.
    stride: an int or (height, width).
    padding: zeros on each side, an int or (height, width); "valid" is 0; "same" leaves the result
        as large as x, with one zero more below or to the right where their number is odd, and
        needs stride 1.
    dilation: places from one element of the kernel to the next, an int or (height, width).
    groups: the channels fall into that many groups of neighbours, the outputs too, and an output
        sees those of its own group alone. C groups: depthwise, each channel by itself.
    activation: as in :func:`linear`, fused.

Returns:
    ``(N, O, OH, OW)`` with ``OH = (H + 2 padding - dilation (KH - 1) - 1) // stride + 1``.

Raises:
    ShapeError: C or O is no multiple of groups, or the kernel does not fit into the padded x.

Example:
    >>> nl.conv2d(nl.rand(1, 3, 8, 8), nl.rand(6, 3, 5, 5), padding="same").shape
    (1, 6, 8, 8)
)doc");
}

void bind_pooling(py::module_& m) {
  m.def(
      "max_pool2d",
      [](const Tensor& x, Pair kernel, std::optional<Pair> stride, Pair padding) {
        return max_pool2d(x, pool_options(kernel, stride, padding));
      },
      py::arg("x"), py::arg("kernel") = 2, py::arg("stride") = py::none(), py::arg("padding") = 0,
      ReleaseGil(),
      R"doc(Greatest of each window of ``(N, C, H, W)``.

The padding is never the greatest; the gradient goes to the first of equals.

Args:
    kernel, stride: an int or (height, width); stride None is the kernel's size.
    padding: on each side, an int or (height, width), at most half of the kernel.

Returns:
    ``(N, C, OH, OW)`` with ``OH = (H + 2 padding - kernel) // stride + 1``.

Example:
    >>> nl.max_pool2d(nl.reshape(nl.arange(0.0, 16.0), (1, 1, 4, 4))).tolist()
    [[[[5.0, 7.0], [13.0, 15.0]]]]
)doc");
  m.def(
      "avg_pool2d",
      [](const Tensor& x, Pair kernel, std::optional<Pair> stride, Pair padding, bool counts) {
        return avg_pool2d(x, pool_options(kernel, stride, padding, counts));
      },
      py::arg("x"), py::arg("kernel") = 2, py::arg("stride") = py::none(), py::arg("padding") = 0,
      py::kw_only(), py::arg("count_include_pad") = true, ReleaseGil(),
      R"doc(Mean of each window of ``(N, C, H, W)``.

Args:
    kernel, stride, padding: as :func:`max_pool2d`.
    count_include_pad: whether what is padding counts, as zeros, in the mean; False divides by the
        number of the other elements.

Example:
    >>> nl.avg_pool2d(nl.ones((1, 1, 2, 2)), padding=1).tolist()
    [[[[0.25, 0.25], [0.25, 0.25]]]]
)doc");
}

}  // namespace

void bind_windows(py::module_& m) {
  bind_convolution(m);
  bind_pooling(m);
}

}  // namespace normlab::bindings
