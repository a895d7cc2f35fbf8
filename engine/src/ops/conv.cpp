#include "ops/conv.h"

#include "core/bfloat16.h"
#include "core/dispatch.h"
#include "core/tensor_impl.h"
#include "cuda/library.h"
#include "ops/activation.h"
#include "ops/conv_cuda.h"
#include "ops/elementwise.h"

namespace normlab {
namespace {

void check_operands(const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t groups) {
  check_same("conv2d", x, weight);
  check<DtypeError>(is_floating(x.dtype()), "conv2d", "x must be float32 or float64, got ",
                    x.dtype());
  check<ArgumentError>(groups >= 1, "conv2d", "groups must be at least 1, got ", groups);
  check(x.rank() == 4, "conv2d", "x must be [N, C, H, W], got ", x.shape());
  check(weight.rank() == 4, "conv2d", "weight must be [O, C", groups > 1 ? " / groups" : "",
        ", KH, KW], got ", weight.shape());
  check(weight.numel() > 0, "conv2d", "weight must not be empty, got ", weight.shape());
  if (groups == 1) {
    check(x.size(1) == weight.size(1), "conv2d", "x ", x.shape(), " must have ", weight.size(1),
          " channels for weight ", weight.shape(), ", got ", x.size(1));
  } else {
    check(weight.size(0) % groups == 0, "conv2d", "weight ", weight.shape(), " must have ", groups,
          " groups of outputs, as many each, got ", weight.size(0));
    check(x.size(1) % groups == 0 && x.size(1) / groups == weight.size(1), "conv2d", "x ",
          x.shape(), " must have ", groups, " groups of ", weight.size(1), " channels for weight ",
          weight.shape(), ", got ", x.size(1));
  }
  if (!bias.defined()) return;
  check_same("conv2d", x, bias);
  check(bias.shape() == Shape{weight.size(0)}, "conv2d", "bias must be [", weight.size(0),
        "] for weight ", weight.shape(), ", got ", bias.shape());
}

/// The most that the kernels can count with.
constexpr int64_t kMostPlaces = 1 << 30;

/// The kernel along one axis.
struct KernelAxis {
  const char* name;
  int64_t n, kernel, stride, dilation;

  void check_steps() const {
    check<ArgumentError>(stride >= 1 && stride <= kMostPlaces, "conv2d", "stride_", name,
                         " must be in [1, ", kMostPlaces, "], got ", stride);
    check<ArgumentError>(dilation >= 1 && dilation <= kMostPlaces, "conv2d", "dilation_", name,
                         " must be in [1, ", kMostPlaces, "], got ", dilation);
    check(kernel == 1 || (kernel - 1) <= kMostPlaces / dilation, "conv2d", "a kernel of ", kernel,
          " dilated by ", dilation, " along ", name, " is wider than ", kMostPlaces);
  }
  /// Its places with that much padding on each side.
  int64_t places(int64_t padding) const {
    check_steps();
    check<ArgumentError>(padding >= 0 && padding <= kMostPlaces, "conv2d", "padding_", name,
                         " must be in [0, ", kMostPlaces, "], got ", padding);
    const int64_t span = (kernel - 1) * dilation + 1;
    check(span <= n + 2 * padding, "conv2d", "the kernel must fit into the padded input, got ",
          span, " against ", n, " + 2 * ", padding, " along ", name,
          dilation > 1 ? " (dilated)" : "");
    return (n + 2 * padding - span) / stride + 1;
  }
  /// The padding before the input that leaves a result as long as that; behind it lies one more
  /// where there is an odd number.
  int64_t same_padding() const {
    check_steps();
    check<ArgumentError>(stride == 1, "conv2d", "padding 'same' needs stride 1, got ", stride,
                         " along ", name);
    return (kernel - 1) * dilation / 2;
  }
};

void check_no_padding(const Conv2dOptions& o) {
  check<ArgumentError>(o.padding_h == 0 && o.padding_w == 0, "conv2d",
                       "padding 'same' goes without other padding, got ", o.padding_h, " and ",
                       o.padding_w);
}

ConvShape shape_of(const Tensor& x, const Tensor& weight, const Conv2dOptions& o) {
  ConvShape s;
  s.N = x.size(0);
  s.C = x.size(1);
  s.H = x.size(2);
  s.W = x.size(3);
  s.O = weight.size(0);
  s.KH = weight.size(2);
  s.KW = weight.size(3);
  s.stride_h = o.stride_h;
  s.stride_w = o.stride_w;
  s.dilation_h = o.dilation_h;
  s.dilation_w = o.dilation_w;
  s.groups = o.groups;
  const KernelAxis h = {"h", s.H, s.KH, s.stride_h, s.dilation_h};
  const KernelAxis w = {"w", s.W, s.KW, s.stride_w, s.dilation_w};
  if (o.same) check_no_padding(o);
  s.padding_h = o.same ? h.same_padding() : o.padding_h;
  s.padding_w = o.same ? w.same_padding() : o.padding_w;
  s.OH = o.same ? s.H : h.places(s.padding_h);
  s.OW = o.same ? s.W : w.places(s.padding_w);
  return s;
}

Shape weight_shape(const ConvShape& s) {
  return {s.O, s.group_C(), s.KH, s.KW};
}

/// One call, and which passes the engine's own kernel takes.
struct Convolution {
  ConvShape s;
  Activation activation = Activation::none;
  bool direct = false, direct_weights = false;

  bool rounded = false;  ///< x, weight and gradients are rounded to bfloat16 before the products

  /// True if the kernel applies the activation itself.
  bool fused() const { return direct && activation == Activation::relu; }
};

Convolution call_of(const Tensor& x, const Tensor& weight, const Conv2dOptions& options) {
  Convolution call;
  call.s = shape_of(x, weight, options);
  call.activation = options.activation;
  call.direct = x.device() == Device::cpu && x.dtype() == DType::float32 && takes_direct(call.s);
  call.direct_weights = call.direct && takes_direct_weights(call.s);
  call.rounded = x.device() == Device::cpu && multiplies_bfloat16(x.dtype());
  return call;
}

/// What the products take for x.
Tensor operand(const Convolution& call, const Tensor& x) {
  return call.rounded ? rounded_to_bfloat16(x) : x;
}

void run_forward(const Convolution& call, const float* x, const float* w, const float* bias,
                 float* z) {
  if (call.direct)
    conv_forward_direct(call.s, x, w, bias, call.fused(), z);
  else
    conv_forward_onednn(call.s, x, w, bias, z);
}
void run_forward(const Convolution& call, const double* x, const double* w, const double* bias,
                 double* z) {
  conv_forward_reference(call.s, x, w, bias, z);
}

/// Tensors kept for backward: x and weight where a gradient needs them, and the activation's.
struct KeptForBackward {
  Saved x, weight, activation;
};

// --- on the GPU -------------------------------------------------------------------------------

/// Bias and activation are part of the kernel.
Tensor forward_on_gpu(const Convolution& call, const Tensor& x, const Tensor& weight,
                      const Tensor& bias, bool recorded, Tensor& before) {
  const ConvShape& s = call.s;
  Tensor z = Tensor::empty({s.N, s.O, s.OH, s.OW}, x.dtype(), Device::cuda);
  if (z.numel() == 0) return z;
  if (recorded && keeps_input(call.activation))
    before = Tensor::empty(z.shape(), z.dtype(), Device::cuda);
  cuda::ConvArgs args{};
  args.dtype = x.dtype();
  args.shape = s;
  args.x = device_data(x);
  args.w = device_data(weight);
  args.bias = device_data_or_null<void>(bias);
  args.z = device_data(z);
  args.before = device_data_or_null<void>(before);
  args.activation = call.activation;
  cuda::call("conv2d", cuda::backend().conv->forward, args);
  return z;
}

Grads backward_on_gpu(const Convolution& call, const KeptForBackward& kept, const Tensor& dz,
                      Needs needs) {
  const ConvShape& s = call.s;
  const cuda::ConvFunctions& gpu = *cuda::backend().conv;
  const auto wanted = [&](bool need, const Shape& shape) {
    return need ? Tensor::empty(shape, dz.dtype(), Device::cuda) : Tensor();
  };
  const bool relu = call.activation == Activation::relu;  // the kernels' own
  const Tensor dpre =
      relu ? dz : activation_gradient("conv2d", call.activation, dz, kept.activation);
  const Tensor x = needs[1] ? kept.x.get() : Tensor(), w = needs[0] ? kept.weight.get() : Tensor();
  const Tensor dx = wanted(needs[0], {s.N, s.C, s.H, s.W});
  const Tensor dw = wanted(needs[1], weight_shape(s)), db = wanted(needs[2], {s.O});
  cuda::ConvArgs args{};
  args.dtype = dz.dtype();
  args.shape = s;
  args.x = device_data_or_null<void>(x);
  args.w = device_data_or_null<void>(w);
  args.dz = device_data(dpre);
  args.relu_z = relu ? device_data(kept.activation.get()) : nullptr;
  args.dx = device_data_or_null<void>(dx);
  args.dw = device_data_or_null<void>(dw);
  args.db = device_data_or_null<void>(db);
  args.parts = gpu.parts(s);
  const Tensor partials =
      wanted(args.parts > 1 && (needs[1] || needs[2]), {args.parts, s.weights() + s.O});
  args.partials = device_data_or_null<void>(partials);
  cuda::call("conv2d", gpu.backward, args);
  return {dx, dw, db};
}

// --- on the CPU -------------------------------------------------------------------------------

/// z, and in `before` what it was before the activation, where backward needs that.
template <class T>
Tensor forward(const Convolution& call, const Tensor& x, const Tensor& weight, const Tensor& bias,
               bool recorded, Tensor& before) {
  const ConvShape& s = call.s;
  Tensor z = Tensor::empty({s.N, s.O, s.OH, s.OW}, x.dtype());
  if (z.numel() == 0) return z;
  run_forward(call, operand(call, x).template data<T>(), operand(call, weight).template data<T>(),
              device_data_or_null<T>(bias), z.data<T>());
  if (call.fused() || call.activation == Activation::none) return z;
  if (recorded && keeps_input(call.activation)) before = Tensor::empty(z.shape(), z.dtype());
  add_bias_and_activate(z.data<T>(), static_cast<const T*>(nullptr),
                        before.defined() ? before.data<T>() : nullptr, s.N * s.O, s.OH * s.OW,
                        call.activation);
  return z;
}

/// z is the result of a fused relu, or null.
void run_backward(const Convolution& call, const float* x, const float* w, const float* z,
                  const float* g, ConvGrads<float> grads) {
  if (call.direct) {
    float* dw = call.direct_weights ? grads.dw : nullptr;
    if (grads.dx || dw || grads.db)
      conv_backward_direct(call.s, x, w, z, g, {grads.dx, dw, grads.db});
    grads.dx = nullptr;
    if (dw) grads.dw = nullptr;
  }
  conv_backward_onednn(call.s, x, w, g, grads);
}
void run_backward(const Convolution& call, const double* x, const double* w, const double*,
                  const double* g, const ConvGrads<double>& grads) {
  conv_backward_reference(call.s, x, w, g, grads);
}

/// An uninitialised tensor for a gradient, if it is wanted.
template <class T>
Tensor wanted(bool need, const Shape& shape, T*& data) {
  if (!need) return {};
  Tensor gradient = Tensor::empty(shape, dtype_of<T>);
  data = gradient.data<T>();
  return gradient;
}

template <class T>
Grads backward(const Convolution& call, const KeptForBackward& kept, const Tensor& dz,
               Needs needs) {
  const ConvShape& s = call.s;
  const bool fused = call.fused() && !call.rounded && (call.direct_weights || !needs[1]);
  const Tensor dpre =
      fused ? dz : activation_gradient("conv2d", call.activation, dz, kept.activation);
  ConvGrads<T> grads;
  const Tensor dx = wanted(needs[0], {s.N, s.C, s.H, s.W}, grads.dx);
  const Tensor dw = wanted(needs[1], weight_shape(s), grads.dw);
  Tensor db = wanted(needs[2] && call.direct && !call.rounded, {s.O}, grads.db);
  const Tensor x = needs[1] ? operand(call, kept.x.get()) : Tensor();
  const Tensor weight = needs[0] ? operand(call, kept.weight.get()) : Tensor();
  run_backward(call, device_data_or_null<T>(x), device_data_or_null<T>(weight),
               fused ? kept.activation.get().data<T>() : nullptr,
               operand(call, dpre).template data<T>(), grads);
  if (needs[2] && !db.defined()) db = sum(dpre, {0, 2, 3});
  return {dx, dw, db};
}

/// Without images there is nothing to sum.
Grads backward_of_nothing(const ConvShape& s, const Tensor& dz) {
  const auto zeros = [&](const Shape& shape) {
    return Tensor::zeros(shape, dz.dtype(), dz.device());
  };
  return {zeros({s.N, s.C, s.H, s.W}), zeros(weight_shape(s)), zeros({s.O})};
}

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias,
              const Conv2dOptions& options) {
  check_operands(x, weight, bias, options.groups);
  const Convolution call = call_of(x, weight, options);
  const bool recorded = needs_grad({x, weight, bias});
  return dispatch_floating("conv2d", x.dtype(), [&]<class T>() {
    Tensor before;
    Tensor z = x.device() == Device::cuda ? forward_on_gpu(call, x, weight, bias, recorded, before)
                                          : forward<T>(call, x, weight, bias, recorded, before);
    if (!recorded) return z;
    KeptForBackward kept;
    if (weight.requires_grad()) kept.x = Saved(x);
    if (x.requires_grad()) kept.weight = Saved(weight);
    if (call.activation != Activation::none) kept.activation = Saved(before.defined() ? before : z);
    return record("conv2d", std::move(z), {x, weight, bias},
                  [call, kept](const Tensor& dz, Needs needs) -> Grads {
                    if (dz.numel() == 0) return backward_of_nothing(call.s, dz);
                    if (dz.device() == Device::cuda) return backward_on_gpu(call, kept, dz, needs);
                    return backward<T>(call, kept, dz, needs);
                  });
  });
}

}  // namespace normlab
