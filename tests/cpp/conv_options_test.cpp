#include <cmath>

#include "catch.h"
#include "kernel_checks.h"
#include "ops/conv.h"

// Dilation, groups and padding "same" of conv2d; the rest is in conv_test.cpp.

using namespace normlab;
using namespace normlab::test;

namespace {

struct Case {
  Shape x, w;
  Conv2dOptions options;
};

Conv2dOptions with(int64_t stride_h, int64_t stride_w, int64_t padding_h, int64_t padding_w,
                   int64_t dilation_h, int64_t dilation_w, int64_t groups = 1) {
  return {.stride_h = stride_h,
          .stride_w = stride_w,
          .padding_h = padding_h,
          .padding_w = padding_w,
          .dilation_h = dilation_h,
          .dilation_w = dilation_w,
          .groups = groups};
}

Conv2dOptions same(int64_t dilation_h, int64_t dilation_w, int64_t groups = 1) {
  return {.dilation_h = dilation_h, .dilation_w = dilation_w, .groups = groups, .same = true};
}

const std::vector<Case> kCases = {
    // dilation
    {{2, 3, 9, 11}, {4, 3, 3, 3}, with(1, 1, 0, 0, 2, 2)},
    {{9, 2, 10, 9}, {5, 2, 3, 2}, with(2, 1, 1, 2, 3, 2)},
    {{1, 1, 7, 7}, {1, 1, 3, 3}, with(1, 1, 0, 0, 3, 3)},
    {{3, 4, 8, 8}, {6, 4, 2, 3}, with(3, 2, 5, 6, 1, 4)},  // more padding than kernel
    {{2, 2, 6, 7}, {3, 2, 1, 1}, with(1, 1, 0, 0, 5, 7)},  // nothing to dilate
    // groups
    {{2, 4, 7, 6}, {6, 2, 3, 3}, with(1, 1, 1, 1, 1, 1, 2)},
    {{11, 9, 6, 5}, {3, 3, 2, 2}, with(1, 1, 0, 0, 1, 1, 3)},
    {{3, 6, 9, 9}, {4, 3, 3, 3}, with(2, 2, 1, 1, 2, 2, 2)},
    // depthwise
    {{2, 5, 8, 9}, {5, 1, 3, 3}, with(1, 1, 1, 1, 1, 1, 5)},
    {{9, 16, 7, 7}, {16, 1, 3, 3}, with(2, 2, 1, 1, 1, 1, 16)},
    {{2, 3, 9, 8}, {6, 1, 5, 3}, with(1, 1, 4, 2, 2, 2, 3)},  // two outputs a channel
    {{2, 33, 5, 6}, {33, 1, 1, 1}, with(1, 1, 0, 0, 1, 1, 33)},
    // "same", also where an odd number of zeros is needed
    {{2, 3, 7, 8}, {4, 3, 3, 3}, same(1, 1)},
    {{2, 3, 7, 8}, {4, 3, 2, 4}, same(1, 1)},
    {{9, 4, 6, 5}, {4, 1, 4, 2}, same(3, 1, 4)},
    {{1, 2, 3, 3}, {2, 2, 4, 5}, same(2, 3)},  // the kernel is larger than x
    {{2, 2, 5, 5}, {3, 2, 1, 1}, same(1, 1)},
};

struct Padding {
  int64_t before, result;
};

Padding padding_of(int64_t n, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation,
                   bool is_same) {
  const int64_t span = dilation * (kernel - 1) + 1;
  if (is_same) return {(span - 1) / 2, n};
  return {padding, (n + 2 * padding - span) / stride + 1};
}

/// The definition, in float64.
std::vector<double> plain_conv(const Tensor& x, const Tensor& w, const Tensor& b,
                               const Conv2dOptions& o) {
  const int64_t N = x.size(0), C = x.size(1), H = x.size(2), W = x.size(3);
  const int64_t O = w.size(0), each = w.size(1), KH = w.size(2), KW = w.size(3);
  const Padding h = padding_of(H, KH, o.stride_h, o.padding_h, o.dilation_h, o.same);
  const Padding v = padding_of(W, KW, o.stride_w, o.padding_w, o.dilation_w, o.same);
  const std::vector<double> in = x.to_vector(), k = w.to_vector(), bias = b.to_vector();
  std::vector<double> z;
  for (int64_t i = 0; i < N * O * h.result * v.result; ++i) {
    const int64_t n = i / (O * h.result * v.result), o_index = i / (h.result * v.result) % O;
    const int64_t y = i / v.result % h.result, at = i % v.result;
    double sum = bias[static_cast<size_t>(o_index)];
    for (int64_t c = 0; c < each; ++c)
      for (int64_t ky = 0; ky < KH; ++ky)
        for (int64_t kx = 0; kx < KW; ++kx) {
          const int64_t iy = y * o.stride_h - h.before + ky * o.dilation_h;
          const int64_t ix = at * o.stride_w - v.before + kx * o.dilation_w;
          if (iy < 0 || iy >= H || ix < 0 || ix >= W) continue;
          const int64_t channel = o_index / (O / o.groups) * each + c;
          sum += in[static_cast<size_t>(((n * C + channel) * H + iy) * W + ix)] *
                 k[static_cast<size_t>(((o_index * each + c) * KH + ky) * KW + kx)];
        }
    z.push_back(sum);
  }
  return z;
}

std::vector<double> run(const Case& c, Activation activation, DType dtype) {
  std::vector<Tensor> in = {random(c.x, 1).to(dtype), random(c.w, 2).to(dtype),
                            random({c.w[0]}, 3).to(dtype)};
  for (Tensor& t : in) t.set_requires_grad();
  Conv2dOptions options = c.options;
  options.activation = activation;
  const Tensor z = conv2d(in[0], in[1], in[2], options);
  z.backward(random(z.shape(), 4).to(dtype));
  return joined({z, in[0].grad(), in[1].grad(), in[2].grad()});
}

#define CAPTURE_CASE(c)                                                                        \
  CAPTURE(c.x.str(), c.w.str(), c.options.stride_h, c.options.padding_h, c.options.dilation_h, \
          c.options.dilation_w, c.options.groups, c.options.same)

}  // namespace

TEST_CASE("conv2d with dilation, groups and padding same agrees with the definition", "[conv]") {
  for (const Case& c : kCases) {
    CAPTURE_CASE(c);
    for (const DType dtype : {DType::float32, DType::float64}) {
      const Tensor x = random(c.x, 1, dtype), w = random(c.w, 2, dtype),
                   b = random({c.w[0]}, 3, dtype);
      const double tolerance = dtype == DType::float32 ? 2e-5 : 1e-12;
      CHECK(worst(conv2d(x, w, b, c.options).to_vector(), plain_conv(x, w, b, c.options)) <
            tolerance);
      const Tensor none = Tensor::zeros({c.w[0]}, dtype);
      CHECK(worst(conv2d(x, w, {}, c.options).to_vector(), plain_conv(x, w, none, c.options)) <
            tolerance);
    }
  }
}

TEST_CASE("conv2d with dilation, groups and padding same: gradients", "[conv][grad]") {
  for (const Case& c : kCases) {
    CAPTURE_CASE(c);
    if (c.x.numel() < 400) {
      const auto op = [&](const std::vector<Tensor>& in) {
        return conv2d(in[0], in[1], in[2], c.options);
      };
      CHECK(gradient_error(op, {leaf(c.x, 1), leaf(c.w, 2), leaf({c.w[0]}, 3)}) < 1e-6);
    }
    for (const Activation activation : {Activation::none, Activation::relu, Activation::gelu})
      CHECK(worst(run(c, activation, DType::float32), run(c, activation, DType::float64)) < 1e-3);
  }
}

TEST_CASE("conv2d in groups is one convolution for each", "[conv]") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    const Tensor x = random({3, 6, 7, 8}, 1, dtype), w = random({4, 3, 3, 2}, 2, dtype);
    Conv2dOptions options = with(1, 2, 1, 1, 2, 1);
    std::vector<Tensor> parts;
    for (int64_t g = 0; g < 2; ++g)
      parts.push_back(
          conv2d(slice(x, 1, 3 * g, 3 * g + 3), w.slice(2 * g, 2 * g + 2), {}, options));
    options.groups = 2;
    CHECK(max_difference(conv2d(x, w, {}, options), concat(parts, 1)) <
          (dtype == DType::float32 ? 1e-5 : 1e-12));
  }
}

TEST_CASE("conv2d's own kernel takes no dilation and no groups", "[conv]") {
  ConvShape s;
  s.N = 1, s.C = 2, s.H = 6, s.W = 6, s.O = 2, s.KH = 3, s.KW = 3, s.OH = 4, s.OW = 4;
  CHECK(takes_direct(s));
  s.groups = 2;
  CHECK_FALSE(takes_direct(s));
  s.groups = 1, s.dilation_w = 2, s.OW = 2;
  CHECK_FALSE(takes_direct(s));
  s.dilation_w = 1, s.OW = 6, s.padding_w = 1;
  CHECK_FALSE(takes_direct(s));
}

TEST_CASE("conv2d with dilation and groups: the same for any number of threads", "[conv]") {
  for (const Case& c :
       std::vector<Case>{{{35, 8, 12, 12}, {16, 8, 3, 3}, with(1, 1, 2, 2, 2, 2)},
                         {{35, 16, 12, 12}, {16, 1, 3, 3}, with(1, 1, 1, 1, 1, 1, 16)},
                         {{20, 16, 12, 12}, {32, 4, 3, 3}, with(2, 1, 1, 1, 1, 1, 4)}}) {
    CAPTURE_CASE(c);
    CHECK(same_for_any_threads([&] { return run(c, Activation::relu, DType::float32); }));
  }
}

TEST_CASE("conv2d in groups: a NaN stays within its group", "[conv]") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    for (const int64_t groups : {2, 6}) {
      Tensor x = random({2, 6, 5, 5}, 1);
      x.data<float>()[7] = NAN;  // first image, first channel
      const Tensor z = conv2d(x.to(dtype), random({12, 6 / groups, 3, 3}, 2, dtype), {},
                              with(1, 1, 1, 1, 1, 1, groups));
      const std::vector<double> values = z.to_vector();
      for (size_t i = 0; i < values.size(); ++i) {
        const size_t channel = i / 25;  // of both images
        if (channel >= static_cast<size_t>(12 / groups)) CHECK(std::isfinite(values[i]));
      }
      CHECK(std::isnan(values[6]));
    }
  }
}

TEST_CASE("conv2d with dilation and groups of no images", "[conv]") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    Tensor x = Tensor::zeros({0, 4, 5, 5}, dtype), w = Tensor::ones({4, 2, 2, 2}, dtype);
    w.set_requires_grad();
    const Tensor z = conv2d(x, w, {}, with(1, 1, 0, 0, 2, 2, 2));
    CHECK(z.shape() == Shape{0, 4, 3, 3});
    z.backward(Tensor::zeros(z.shape(), dtype));
    CHECK(w.grad().to_vector() == std::vector<double>(32, 0.0));
  }
}

TEST_CASE("conv2d with dilation, groups and padding same: the GPU agrees with the CPU",
          "[conv][cuda]") {
  std::vector<Case> cases = kCases;
  cases.push_back({{2, 80, 6, 6}, {80, 40, 2, 2}, with(1, 1, 0, 0, 1, 1, 2)});  // several tiles
  cases.push_back({{70, 4, 9, 9}, {8, 2, 3, 3}, with(1, 1, 1, 1, 1, 1, 2)});    // several parts
  cases.push_back({{0, 4, 5, 5}, {4, 2, 3, 3}, with(1, 1, 0, 0, 2, 2, 2)});
  for (const Case& c : cases) {
    CAPTURE_CASE(c);
    const auto op = [&](const std::vector<Tensor>& in) {
      Conv2dOptions options = c.options;
      options.activation = Activation::relu;
      return conv2d(in[0], in[1], in.size() > 2 ? in[2] : Tensor(), options);
    };
    const std::vector<Tensor> inputs = {leaf(c.x, 1), leaf(c.w, 2), leaf({c.w[0]}, 3)};
    CHECK(cuda_difference(op, inputs) < 1e-12);
    CHECK(cuda_difference(op, inputs, DType::float32) < 1e-4);
    CHECK(cuda_difference(op, {inputs[0], inputs[1]}) < 1e-12);
  }
}

TEST_CASE("conv2d says what is wrong with dilation, groups and padding", "[conv]") {
  const auto of = [](const Shape& x, const Shape& w, const Conv2dOptions& options) {
    return error_of<ArgumentError>([&] { conv2d(Tensor::ones(x), Tensor::ones(w), {}, options); });
  };
  CHECK(of({1, 4, 4, 4}, {2, 4, 2, 2}, with(1, 1, 0, 0, 0, 1)) ==
        "conv2d: dilation_h must be in [1, 1073741824], got 0");
  CHECK(of({1, 4, 4, 4}, {2, 4, 2, 2}, with(1, 1, 0, 0, 1, -3)) ==
        "conv2d: dilation_w must be in [1, 1073741824], got -3");
  CHECK(of({1, 4, 4, 4}, {2, 4, 3, 3}, with(1, 1, 0, 0, 1, 1 << 30)) ==
        "conv2d: a kernel of 3 dilated by 1073741824 along w is wider than 1073741824");
  CHECK(of({1, 4, 4, 4}, {2, 4, 3, 3}, with(1, 1, 0, 0, 2, 1)) ==
        "conv2d: the kernel must fit into the padded input, got 5 against 4 + 2 * 0 along h "
        "(dilated)");
  CHECK(of({1, 4, 4, 4}, {2, 4, 2, 2}, with(1, 1, 0, 0, 1, 1, 0)) ==
        "conv2d: groups must be at least 1, got 0");
  CHECK(of({1, 4, 4, 4}, {2, 4, 2, 2}, with(1, 1, 0, 0, 1, 1, 2)) ==
        "conv2d: x [1, 4, 4, 4] must have 2 groups of 4 channels for weight [2, 4, 2, 2], got 4");
  CHECK(of({1, 5, 4, 4}, {2, 2, 2, 2}, with(1, 1, 0, 0, 1, 1, 2)) ==
        "conv2d: x [1, 5, 4, 4] must have 2 groups of 2 channels for weight [2, 2, 2, 2], got 5");
  CHECK(of({1, 4, 4, 4}, {3, 2, 2, 2}, with(1, 1, 0, 0, 1, 1, 2)) ==
        "conv2d: weight [3, 2, 2, 2] must have 2 groups of outputs, as many each, got 3");
  Conv2dOptions options = same(1, 1);
  options.stride_w = 2;
  CHECK(of({1, 4, 4, 4}, {2, 4, 2, 2}, options) ==
        "conv2d: padding 'same' needs stride 1, got 2 along w");
  options = same(1, 1);
  options.padding_h = 1;
  CHECK(of({1, 4, 4, 4}, {2, 4, 2, 2}, options) ==
        "conv2d: padding 'same' goes without other padding, got 1 and 0");
}

TEST_CASE("nn: Conv2d takes dilation, groups and padding same", "[nn][conv]") {
  const Conv2dOptions options = same(2, 1, 4);
  nn::Conv2d layer(4, 8, {3, 2}, options);
  CHECK(layer.weight.shape() == Shape{8, 1, 3, 2});
  const double bound = 1 / std::sqrt(6.0);  // one channel of 3 x 2
  CHECK(max(abs(layer.weight)).item() <= bound);
  CHECK(max(abs(layer.weight)).item() > 0.5 * bound);
  const Tensor x = random({2, 4, 5, 6}, 1), z = layer(x);
  CHECK(z.shape() == Shape{2, 8, 5, 6});
  CHECK(max_difference(z, conv2d(x, layer.weight, layer.bias, options)) == 0);
  const auto refused = [](int64_t in, int64_t out, const Conv2dOptions& o) {
    return error_of<ArgumentError>([&] { nn::Conv2d(in, out, {2, 2}, o); });
  };
  CHECK(refused(4, 6, with(1, 1, 0, 0, 1, 1, 4)) ==
        "Conv2d: groups must divide both numbers of channels, got 4 for 4 to 6");
  CHECK(refused(4, 6, with(1, 1, 0, 0, 1, 1, 0)) ==
        "Conv2d: groups must divide both numbers of channels, got 0 for 4 to 6");
  CHECK(refused(4, 6, with(1, 1, 0, 0, 0, 1)) == "Conv2d: dilations must be positive, got 0 x 1");
  Conv2dOptions strided = same(1, 1);
  strided.stride_h = 2;
  CHECK(refused(4, 6, strided) == "Conv2d: padding 'same' needs stride 1, got 2 x 1");
}
