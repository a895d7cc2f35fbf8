#include "layers.h"
#include "windows.h"

namespace normlab::bindings {
namespace {

std::string pair_text(int64_t h, int64_t w) {
  return h == w ? std::to_string(h) : joined('(', h, ", ", w, ')');
}

template <class M>
std::shared_ptr<M> make_conv2d(int64_t in, int64_t out, Pair kernel, Pair stride, Padding padding,
                               Pair dilation, int64_t groups, bool bias, Activation activation) {
  return std::make_shared<M>(in, out, std::pair(kernel.h, kernel.w),
                             conv_options(stride, padding, dilation, groups, activation), bias);
}

template <class M>
std::shared_ptr<M> make_max_pool2d(Pair kernel, std::optional<Pair> stride, Pair padding) {
  return std::make_shared<M>(pool_options(kernel, stride, padding));
}

template <class M>
std::shared_ptr<M> make_avg_pool2d(Pair kernel, std::optional<Pair> stride, Pair padding,
                                   bool count_include_pad) {
  return std::make_shared<M>(pool_options(kernel, stride, padding, count_include_pad));
}

void bind_conv2d(py::module_& m) {
  using nn::Conv2d;
  auto c = module_class<Conv2d, Module>(m, "Conv2d", R"doc(2-D convolution over ``(N, C, H, W)``.

Weights uniform in +-1/sqrt(in / groups * kh * kw). See :func:`normlab.conv2d`.
)doc");
  c.def(py::init(&make_conv2d<Conv2d>, &make_conv2d<Trampoline<Conv2d>>), py::arg("in_channels"),
        py::arg("out_channels"), py::arg("kernel"), py::arg("stride") = 1, py::arg("padding") = 0,
        py::arg("dilation") = 1, py::arg("groups") = 1, py::arg("bias") = true,
        py::arg("activation") = "none",
        "kernel, stride, padding and dilation: an int or (height, width); padding also \"same\" or "
        "\"valid\". groups = in_channels: depthwise.");
  bind_forward<Conv2d>(c, "``(N, in, H, W) -> (N, out, OH, OW)``.");
  bind_weight<Conv2d>(c, "``(out, in // groups, kh, kw)``.");
  bind_bias<Conv2d>(c);
  bind_arguments<Conv2d>(c, [](const Conv2d& l) {
    const Conv2dOptions& o = l.options();
    const Shape& w = l.weight.shape();
    const py::object padding =
        o.same ? py::object(py::str("same")) : py::cast(std::pair(o.padding_h, o.padding_w));
    return py::dict("in_channels"_a = w[1] * o.groups, "out_channels"_a = w[0],
                    "kernel"_a = std::pair(w[2], w[3]),
                    "stride"_a = std::pair(o.stride_h, o.stride_w), "padding"_a = padding,
                    "dilation"_a = std::pair(o.dilation_h, o.dilation_w), "groups"_a = o.groups,
                    "bias"_a = l.bias.defined(), "activation"_a = o.activation);
  });
  c.def("extra_repr", [](const Conv2d& l) {
    const Conv2dOptions& o = l.options();
    const Shape& w = l.weight.shape();
    const bool dilated = o.dilation_h != 1 || o.dilation_w != 1;
    return joined(w[1] * o.groups, ", ", w[0], ", kernel=", pair_text(w[2], w[3]),
                  ", stride=", pair_text(o.stride_h, o.stride_w),
                  ", padding=", o.same ? "'same'" : pair_text(o.padding_h, o.padding_w),
                  dilated ? joined(", dilation=", pair_text(o.dilation_h, o.dilation_w)) : "",
                  o.groups != 1 ? joined(", groups=", o.groups) : "", l.bias ? "" : ", bias=False",
                  with_activation(o.activation));
  });
}

template <class M, class Class>
void finish_pool(Class& c) {
  bind_forward<M>(c, "``(N, C, H, W) -> (N, C, OH, OW)``.");
  bind_arguments<M>(c, [](const M& l) {
    const Pool2dOptions& o = l.options();
    py::dict arguments("kernel"_a = std::pair(o.kernel_h, o.kernel_w),
                       "padding"_a = std::pair(o.padding_h, o.padding_w));
    if constexpr (std::is_same_v<M, nn::AvgPool2d>)
      arguments["count_include_pad"] = o.count_include_pad;
    if (o.stride_h) arguments["stride"] = std::pair(o.stride_h, o.stride_w);
    return arguments;
  });
  c.def("extra_repr", [](const M& l) {
    const Pool2dOptions& o = l.options();
    const bool padded = o.padding_h != 0 || o.padding_w != 0;
    return joined("kernel=", pair_text(o.kernel_h, o.kernel_w),
                  o.stride_h ? joined(", stride=", pair_text(o.stride_h, o.stride_w)) : "",
                  padded ? joined(", padding=", pair_text(o.padding_h, o.padding_w)) : "",
                  o.count_include_pad ? "" : ", count_include_pad=False");
  });
}

void bind_pools(py::module_& m) {
  using nn::AvgPool2d;
  using nn::MaxPool2d;
  constexpr const char* kInit =
      "kernel, stride and padding: an int or (height, width); stride None is the kernel's size, "
      "padding at most half of it.";
  auto max = module_class<MaxPool2d, Module>(m, "MaxPool2d", "Greatest of each window.");
  max.def(py::init(&make_max_pool2d<MaxPool2d>, &make_max_pool2d<Trampoline<MaxPool2d>>),
          py::arg("kernel") = 2, py::arg("stride") = py::none(), py::arg("padding") = 0, kInit);
  finish_pool<MaxPool2d>(max);
  auto mean = module_class<AvgPool2d, Module>(
      m, "AvgPool2d", "Mean of each window. See :func:`normlab.avg_pool2d`.");
  mean.def(py::init(&make_avg_pool2d<AvgPool2d>, &make_avg_pool2d<Trampoline<AvgPool2d>>),
           py::arg("kernel") = 2, py::arg("stride") = py::none(), py::arg("padding") = 0,
           py::kw_only(), py::arg("count_include_pad") = true, kInit);
  finish_pool<AvgPool2d>(mean);
}
}  // namespace

void bind_window_layers(py::module_& nn) {
  bind_conv2d(nn);
  bind_pools(nn);
}

}  // namespace normlab::bindings
