#include <cmath>
#include <string>
#include <thread>

#include "catch.h"
#include "device.h"
#include "kernel_checks.h"
#include "ops/conv.h"

using namespace normlab;
using namespace normlab::test;

namespace {

struct Case {
  Shape x, w;
  int64_t stride_h = 1, stride_w = 1, padding_h = 0, padding_w = 0;

  Conv2dOptions options(Activation activation = Activation::none) const {
    return {stride_h, stride_w, padding_h, padding_w, activation};
  }
};

// The first eight go to the engine's own kernel in float32, the others to oneDNN.
const std::vector<Case> kCases = {
    {{2, 1, 28, 28}, {20, 1, 5, 5}},
    {{9, 20, 12, 12}, {50, 20, 5, 5}},
    {{3, 2, 9, 7}, {4, 2, 3, 2}},
    {{5, 3, 13, 17}, {11, 3, 3, 3}},
    {{2, 4, 6, 5}, {7, 4, 1, 1}},
    {{33, 2, 5, 5}, {6, 2, 5, 5}},
    {{1, 1, 30, 41}, {1, 1, 7, 4}},
    {{2, 1, 3, 70}, {3, 1, 2, 2}},
    {{2, 3, 8, 9}, {4, 3, 3, 3}, 1, 1, 1, 1},
    {{9, 3, 8, 9}, {4, 3, 3, 2}, 2, 1, 0, 1},
    {{17, 16, 11, 10}, {24, 16, 3, 3}, 2, 3, 1, 2},
    {{1, 1, 5, 5}, {1, 1, 5, 5}, 1, 1, 2, 2},
    {{3, 2, 4, 4}, {3, 2, 2, 2}, 5, 4, 0, 0},
};

/// The definition, in float64, whatever the inputs' dtype.
std::vector<double> plain_conv(const Tensor& x, const Tensor& w, const Tensor& b, const Case& c) {
  const int64_t N = x.size(0), C = x.size(1), H = x.size(2), W = x.size(3);
  const int64_t O = w.size(0), KH = w.size(2), KW = w.size(3);
  const int64_t OH = (H + 2 * c.padding_h - KH) / c.stride_h + 1;
  const int64_t OW = (W + 2 * c.padding_w - KW) / c.stride_w + 1;
  const std::vector<double> in = x.to_vector(), k = w.to_vector(), bias = b.to_vector();
  std::vector<double> z;
  for (int64_t n = 0; n < N; ++n)
    for (int64_t o = 0; o < O; ++o)
      for (int64_t y = 0; y < OH; ++y)
        for (int64_t v = 0; v < OW; ++v) {
          double sum = bias[o];
          for (int64_t i = 0; i < C * KH * KW; ++i) {
            const int64_t iy = y * c.stride_h - c.padding_h + i / KW % KH;
            const int64_t ix = v * c.stride_w - c.padding_w + i % KW;
            if (iy < 0 || iy >= H || ix < 0 || ix >= W) continue;
            sum += in[((n * C + i / (KH * KW)) * H + iy) * W + ix] * k[o * C * KH * KW + i];
          }
          z.push_back(sum);
        }
  return z;
}

/// Result and gradients of one call on random numbers.
std::vector<double> run(const Case& c, Activation activation, DType dtype) {
  std::vector<Tensor> in = {random(c.x, 1).to(dtype), random(c.w, 2).to(dtype),
                            random({c.w[0]}, 3).to(dtype)};
  for (Tensor& t : in) t.set_requires_grad();
  const Tensor z = conv2d(in[0], in[1], in[2], c.options(activation));
  z.backward(random(z.shape(), 4).to(dtype));
  return joined({z, in[0].grad(), in[1].grad(), in[2].grad()});
}

}  // namespace

TEST_CASE("conv2d: agrees with the definition", "[conv]") {
  for (const Case& c : kCases) {
    CAPTURE(c.x.str(), c.w.str(), c.stride_h, c.stride_w, c.padding_h, c.padding_w);
    for (const DType dtype : {DType::float32, DType::float64}) {
      const Tensor x = random(c.x, 1, dtype), w = random(c.w, 2, dtype),
                   b = random({c.w[0]}, 3, dtype);
      const std::vector<double> want = plain_conv(x, w, b, c);
      const double tolerance = dtype == DType::float32 ? 2e-4 : 1e-11;
      CHECK(worst(conv2d(x, w, b, c.options()).to_vector(), want) < tolerance);
      const Tensor none = Tensor::zeros({c.w[0]}, dtype);
      CHECK(worst(conv2d(x, w, {}, c.options()).to_vector(), plain_conv(x, w, none, c)) <
            tolerance);
    }
  }
}

TEST_CASE("conv2d: the cases reach all float32 kernels", "[conv]") {
  const auto shape_of = [](const Case& c) {
    ConvShape s;
    s.N = c.x[0], s.C = c.x[1], s.H = c.x[2], s.W = c.x[3];
    s.O = c.w[0], s.KH = c.w[2], s.KW = c.w[3];
    s.stride_h = c.stride_h, s.stride_w = c.stride_w;
    s.padding_h = c.padding_h, s.padding_w = c.padding_w;
    s.OH = (s.H + 2 * s.padding_h - s.KH) / s.stride_h + 1;
    s.OW = (s.W + 2 * s.padding_w - s.KW) / s.stride_w + 1;
    return s;
  };
  for (size_t i = 0; i < kCases.size(); ++i) CHECK(takes_direct(shape_of(kCases[i])) == (i < 8));
  CHECK(takes_direct_weights(shape_of(kCases[1])));
  CHECK_FALSE(takes_direct_weights(shape_of(kCases[3])));
  // Scratch memory stays within bounds.
  CHECK_FALSE(takes_direct_weights(shape_of({{1000000, 1, 28, 28}, {20, 1, 5, 5}})));
  CHECK_FALSE(takes_direct(shape_of({{1, 64, 512, 512}, {64, 64, 3, 3}})));
}

TEST_CASE("conv2d: float32 agrees with float64, gradients and activations", "[conv][grad]") {
  for (const Case& c : kCases) {
    for (const Activation activation : {Activation::none, Activation::relu, Activation::gelu,
                                        Activation::tanh, Activation::sigmoid}) {
      CAPTURE(c.x.str(), c.w.str(), c.stride_h, c.padding_h, name_of(activation));
      CHECK(worst(run(c, activation, DType::float32), run(c, activation, DType::float64)) < 2e-3);
    }
  }
}

TEST_CASE("conv2d: gradients", "[conv][grad]") {
  const std::vector<Case> cases = {{{2, 2, 4, 5}, {3, 2, 2, 3}},
                                   {{2, 1, 5, 4}, {2, 1, 3, 2}, 2, 1, 1, 2},
                                   {{1, 3, 3, 3}, {1, 3, 3, 3}},
                                   {{0, 3, 3, 3}, {2, 3, 3, 3}}};
  for (const Case& c : cases) {
    for (const Activation activation : {Activation::none, Activation::relu, Activation::gelu,
                                        Activation::tanh, Activation::sigmoid}) {
      CAPTURE(c.x.str(), c.w.str(), name_of(activation));
      const auto op = [&](const std::vector<Tensor>& in) {
        return conv2d(in[0], in[1], in[2], c.options(activation));
      };
      CHECK(gradient_error(op, {leaf(c.x, 1), leaf(c.w, 2), leaf({c.w[0]}, 3)}) < 1e-6);
    }
  }
}

TEST_CASE("conv2d: gradients that nobody wants change nothing about the others", "[conv][grad]") {
  for (const Case& c : {kCases[2], kCases[9]}) {
    const auto gradients = [&](bool x_needs, bool w_needs, bool b_needs) {
      std::vector<Tensor> in = {random(c.x, 1), random(c.w, 2), random({c.w[0]}, 3)};
      in[0].set_requires_grad(x_needs);
      in[1].set_requires_grad(w_needs);
      in[2].set_requires_grad(b_needs);
      const Tensor z = conv2d(in[0], in[1], in[2], c.options(Activation::relu));
      z.backward(random(z.shape(), 4));
      return std::vector<Tensor>{in[0].grad(), in[1].grad(), in[2].grad()};
    };
    const std::vector<Tensor> all = gradients(true, true, true);
    CHECK(max_difference(gradients(true, false, false)[0], all[0]) == 0);
    CHECK(max_difference(gradients(false, true, false)[1], all[1]) == 0);
    CHECK(max_difference(gradients(false, false, true)[2], all[2]) == 0);
    CHECK_FALSE(gradients(false, true, true)[0].defined());
  }
}

TEST_CASE("conv2d: the same for any number of threads", "[conv]") {
  for (const Case& c : std::vector<Case>{{{32, 1, 28, 28}, {20, 1, 5, 5}},
                                         {{33, 20, 12, 12}, {50, 20, 5, 5}},
                                         {{35, 16, 14, 14}, {32, 16, 3, 3}, 1, 1, 1, 1}}) {
    CAPTURE(c.x.str());
    CHECK(same_for_any_threads([&] { return run(c, Activation::relu, DType::float32); }));
    CHECK(same_for_any_threads([&] { return run(c, Activation::gelu, DType::float32); }));
  }
}

TEST_CASE("conv2d: several threads of the program may call it at once", "[conv]") {
  const auto all = [] {
    std::vector<double> values;
    for (const Case& c : kCases)
      for (const double v : run(c, Activation::relu, DType::float32)) values.push_back(v);
    return values;
  };
  const std::vector<double> want = all();
  std::vector<std::vector<double>> got(4);
  std::vector<std::thread> threads;
  for (auto& values : got) threads.emplace_back([&] { values = all(); });
  for (std::thread& thread : threads) thread.join();
  for (const auto& values : got) CHECK(values == want);
}

TEST_CASE("conv2d: a NaN or an infinity reaches what it should and nothing else", "[conv]") {
  for (const Case& c :
       std::vector<Case>{{{2, 2, 6, 7}, {3, 2, 3, 3}}, {{2, 2, 6, 7}, {3, 2, 3, 3}, 1, 1, 1, 1}}) {
    for (const float bad : {static_cast<float>(NAN), static_cast<float>(INFINITY)}) {
      CAPTURE(c.padding_h, bad);
      const auto finite = [&](DType dtype) {
        Tensor x = random(c.x, 1), w = random(c.w, 2);
        x.data<float>()[7 * 6 + 5] = bad;  // second channel, first row
        Tensor a = x.to(dtype), b = w.to(dtype);
        a.set_requires_grad();
        b.set_requires_grad();
        const Tensor z = conv2d(a, b, {}, c.options(Activation::relu));
        z.backward(Tensor::ones(z.shape(), dtype));
        std::vector<double> flags;
        for (const double v : joined({z, b.grad()})) flags.push_back(std::isfinite(v) ? 1 : 0);
        return flags;
      };
      CHECK(finite(DType::float32) == finite(DType::float64));
    }
  }
}

TEST_CASE("conv2d: no images", "[conv]") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    for (const int64_t padding : {0, 1}) {
      Tensor x = Tensor::zeros({0, 3, 5, 5}, dtype), w = Tensor::ones({4, 3, 3, 3}, dtype);
      w.set_requires_grad();
      const Tensor z = conv2d(x, w, {}, {1, 1, padding, padding});
      CHECK(z.shape() == Shape{0, 4, 3 + 2 * padding, 3 + 2 * padding});
      z.backward(Tensor::zeros(z.shape(), dtype));
      CHECK(w.grad().to_vector() == std::vector<double>(4 * 3 * 9, 0.0));
    }
  }
}

// float32 sums up to 1,250 products of normal numbers, which cancel to about 1.
TEST_CASE("conv2d: the GPU agrees with the CPU", "[conv][cuda]") {
  std::vector<Case> cases = {{{2, 1, 28, 28}, {20, 1, 5, 5}},
                             {{2, 20, 12, 12}, {50, 20, 5, 5}},
                             {{3, 2, 9, 7}, {4, 2, 3, 2}},
                             {{2, 4, 6, 5}, {7, 4, 1, 1}},
                             {{1, 1, 1, 1}, {1, 1, 1, 1}},
                             {{2, 3, 8, 9}, {4, 3, 3, 3}, 1, 1, 1, 1},
                             {{9, 3, 8, 9}, {4, 3, 3, 2}, 2, 1, 0, 1},
                             {{3, 16, 11, 10}, {40, 16, 3, 3}, 2, 3, 1, 2},
                             {{1, 1, 5, 5}, {1, 1, 5, 5}, 1, 1, 2, 2},
                             {{3, 2, 4, 4}, {3, 2, 2, 2}, 5, 4, 0, 0},
                             {{2, 40, 9, 9}, {40, 40, 1, 2}, 1, 1, 3, 0},
                             {{2, 1, 0, 3}, {2, 1, 3, 3}, 1, 1, 2, 1},
                             {{0, 3, 5, 5}, {4, 3, 3, 3}}};
  for (const Case& c : cases) {
    CAPTURE(c.x.str(), c.w.str(), c.stride_h, c.stride_w, c.padding_h, c.padding_w);
    const auto op = [&](const std::vector<Tensor>& in) {
      return conv2d(in[0], in[1], in.size() > 2 ? in[2] : Tensor(), c.options(Activation::relu));
    };
    const std::vector<Tensor> inputs = {leaf(c.x, 1), leaf(c.w, 2), leaf({c.w[0]}, 3)};
    CHECK(cuda_difference(op, inputs) < 1e-12);
    CHECK(cuda_difference(op, inputs, DType::float32) < 1e-4);
    CHECK(cuda_difference(op, {inputs[0], inputs[1]}) < 1e-12);
  }
}

TEST_CASE("conv2d: the GPU's activations agree with the CPU's", "[conv][cuda]") {
  for (const Activation activation : {Activation::none, Activation::relu, Activation::gelu,
                                      Activation::tanh, Activation::sigmoid}) {
    CAPTURE(name_of(activation));
    const auto op = [&](const std::vector<Tensor>& in) {
      return conv2d(in[0], in[1], in[2], {1, 2, 1, 0, activation});
    };
    const std::vector<Tensor> inputs = {leaf({3, 2, 7, 9}, 1), leaf({5, 2, 3, 3}, 2), leaf({5}, 3)};
    CHECK(cuda_difference(op, inputs) < 1e-12);
    CHECK(cuda_difference(op, inputs, DType::float32) < 1e-5);
  }
}

TEST_CASE("conv2d: the GPU computes the gradients that are wanted, bit for bit", "[conv][cuda]") {
  if (!test::has_device()) return;
  const auto gradients = [&](int wanted) {
    std::vector<Tensor> in;
    for (const Shape& shape : {Shape{9, 3, 9, 8}, Shape{6, 3, 3, 3}, Shape{6}})
      in.push_back(random(shape, in.size() + 1).to(Device::cuda));
    for (size_t i = 0; i < 3; ++i)
      if (wanted >> i & 1) in[i].set_requires_grad();
    const Tensor z = conv2d(in[0], in[1], in[2], {1, 1, 1, 1, Activation::relu});
    z.backward(random(z.shape(), 4).to(Device::cuda));
    return std::vector<Tensor>{in[0].grad(), in[1].grad(), in[2].grad()};
  };
  const std::vector<Tensor> all = gradients(7);
  for (int wanted = 1; wanted < 8; ++wanted) {
    CAPTURE(wanted);
    const std::vector<Tensor> some = gradients(wanted);
    for (size_t i = 0; i < 3; ++i) {
      CHECK(some[i].defined() == ((wanted >> i & 1) != 0));
      if (some[i].defined()) CHECK(some[i].to_vector() == all[i].to_vector());
    }
  }
}

TEST_CASE("conv2d: the GPU takes addresses of any alignment, on one device", "[conv][cuda]") {
  const auto op = [](const std::vector<Tensor>& in) {
    return conv2d(in[0].slice(1, 3), in[1].slice(1, 3), in[2].slice(1, 3),
                  {1, 1, 0, 0, Activation::sigmoid});
  };
  const std::vector<Tensor> inputs = {leaf({3, 1, 5, 5}, 1), leaf({3, 1, 3, 3}, 2), leaf({3}, 3)};
  CHECK(cuda_difference(op, inputs) < 1e-12);
  CHECK(cuda_difference(op, inputs, DType::float32) < 1e-5);
  if (!test::has_device()) return;
  const Tensor x = Tensor::ones({1, 1, 3, 3});
  CHECK(error_of<DeviceError>([&] { conv2d(x.to(Device::cuda), x); }) ==
        "conv2d: operands must be on one device, got cuda and cpu");
}

TEST_CASE("conv2d: errors", "[conv]") {
  const auto of = [](const Shape& x, const Shape& w, const Shape& b,
                     const Conv2dOptions& options = {}) {
    return error_of<ArgumentError>(
        [&] { conv2d(Tensor::ones(x), Tensor::ones(w), Tensor::ones(b), options); });
  };
  CHECK(of({3, 4, 4}, {2, 3, 2, 2}, {2}) == "conv2d: x must be [N, C, H, W], got [3, 4, 4]");
  CHECK(of({1, 3, 4, 4}, {2, 12}, {2}) == "conv2d: weight must be [O, C, KH, KW], got [2, 12]");
  CHECK(of({1, 3, 4, 4}, {2, 5, 2, 2}, {2}) ==
        "conv2d: x [1, 3, 4, 4] must have 5 channels for weight [2, 5, 2, 2], got 3");
  CHECK(of({1, 3, 4, 4}, {0, 3, 2, 2}, {0}) ==
        "conv2d: weight must not be empty, got [0, 3, 2, 2]");
  CHECK(of({1, 3, 4, 4}, {2, 3, 2, 2}, {3}) ==
        "conv2d: bias must be [2] for weight [2, 3, 2, 2], got [3]");
  CHECK(of({1, 3, 4, 4}, {2, 3, 5, 2}, {2}) ==
        "conv2d: the kernel must fit into the padded input, got 5 against 4 + 2 * 0 along h");
  CHECK(of({1, 3, 4, 4}, {2, 3, 2, 7}, {2}, {1, 1, 1, 1}) ==
        "conv2d: the kernel must fit into the padded input, got 7 against 4 + 2 * 1 along w");
  CHECK(of({1, 3, 4, 4}, {2, 3, 2, 2}, {2}, {0, 1}) ==
        "conv2d: stride_h must be in [1, 1073741824], got 0");
  CHECK(of({1, 3, 4, 4}, {2, 3, 2, 2}, {2}, {1, -2}) ==
        "conv2d: stride_w must be in [1, 1073741824], got -2");
  CHECK(of({1, 3, 4, 4}, {2, 3, 2, 2}, {2}, {int64_t{1} << 31, 1}) ==
        "conv2d: stride_h must be in [1, 1073741824], got 2147483648");
  CHECK(of({1, 3, 4, 4}, {2, 3, 2, 2}, {2}, {1, 1, 0, -1}) ==
        "conv2d: padding_w must be in [0, 1073741824], got -1");
  const Tensor x = Tensor::ones({1, 3, 4, 4}), w = Tensor::ones({2, 3, 2, 2});
  CHECK_THROWS_AS(conv2d(x, w.to(DType::float64)), DtypeError);
  CHECK_THROWS_AS(conv2d(x, w, Tensor::ones({2}, DType::float64)), DtypeError);
  CHECK_THROWS_AS(conv2d(x.to(DType::int32), w.to(DType::int32)), DtypeError);
}
