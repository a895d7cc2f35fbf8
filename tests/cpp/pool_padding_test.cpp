#include <cmath>
#include <limits>

#include "catch.h"
#include "kernel_checks.h"

// Padding of max_pool2d and avg_pool2d; the rest is in pool_test.cpp.

using namespace normlab;
using namespace normlab::test;

namespace {

struct Case {
  Shape x;
  Pool2dOptions o;
};

const std::vector<Case> kCases = {
    {{2, 3, 7, 8}, {3, 3, 2, 2, 1, 1}},  // as in a residual network's stem
    {{2, 2, 8, 8}, {2, 2, 2, 2, 1, 1}},  {{1, 2, 5, 6}, {3, 2, 1, 1, 1, 0}},
    {{1, 2, 5, 6}, {2, 5, 1, 3, 0, 2}},  {{1, 1, 1, 1}, {3, 3, 1, 1, 1, 1}},  // more padding than x
    {{3, 1, 4, 4}, {5, 4, 3, 2, 2, 2}},  {{1, 1, 3, 40}, {3, 3, 1, 1, 1, 1}},
    {{1, 1, 9, 70}, {7, 7, 2, 3, 3, 3}}, {{2, 2, 6, 5}, {4, 4, 0, 0, 2, 1}},
};

/// The definition: greatest or mean of what of each window lies in x.
std::vector<double> plain_pool(const Tensor& x, Pool2dOptions o, bool mean) {
  if (o.stride_h == 0) o.stride_h = o.kernel_h;
  if (o.stride_w == 0) o.stride_w = o.kernel_w;
  const int64_t H = x.size(2), W = x.size(3), planes = x.size(0) * x.size(1);
  const std::vector<double> in = x.to_vector();
  std::vector<double> z;
  for (int64_t p = 0; p < planes; ++p)
    for (int64_t y = -o.padding_h; y + o.kernel_h <= H + o.padding_h; y += o.stride_h)
      for (int64_t v = -o.padding_w; v + o.kernel_w <= W + o.padding_w; v += o.stride_w) {
        double sum = 0, most = -INFINITY, count = 0;
        for (int64_t iy = y; iy < y + o.kernel_h; ++iy)
          for (int64_t ix = v; ix < v + o.kernel_w; ++ix) {
            if (iy < 0 || iy >= H || ix < 0 || ix >= W) continue;
            const double value = in[static_cast<size_t>((p * H + iy) * W + ix)];
            sum += value;
            most = std::max(most, value);
            ++count;
          }
        if (o.count_include_pad) count = static_cast<double>(o.kernel_h * o.kernel_w);
        z.push_back(mean ? sum / count : most);
      }
  return z;
}

Pool2dOptions uncounted(Pool2dOptions o) {
  o.count_include_pad = false;
  return o;
}

std::vector<double> gradient(const Tensor& x, const Pool2dOptions& o, bool mean) {
  Tensor leaf = x.clone();
  leaf.set_requires_grad();
  const Tensor z = mean ? avg_pool2d(leaf, o) : max_pool2d(leaf, o);
  z.backward(random(z.shape(), 9).to(x.dtype()));
  return leaf.grad().to_vector();
}

}  // namespace

TEST_CASE("padded pools agree with the definition", "[pool]") {
  for (const Case& c : kCases) {
    for (const DType dtype : {DType::float32, DType::float64}) {
      CAPTURE(c.x.str(), c.o.kernel_h, c.o.kernel_w, c.o.padding_h, c.o.padding_w, dtype);
      // All negative: a zero of the padding would win.
      const Tensor x = random(c.x, 1, dtype) - 5.0;
      const double tolerance = dtype == DType::float32 ? 1e-5 : 1e-13;
      CHECK(max_pool2d(x, c.o).to_vector() == plain_pool(x, c.o, false));
      CHECK(worst(avg_pool2d(x, c.o).to_vector(), plain_pool(x, c.o, true)) < tolerance);
      const Pool2dOptions o = uncounted(c.o);
      CHECK(worst(avg_pool2d(x, o).to_vector(), plain_pool(x, o, true)) < tolerance);
    }
  }
}

TEST_CASE("padded pools: gradients", "[pool][grad]") {
  for (const Case& c : kCases) {
    CAPTURE(c.x.str(), c.o.kernel_h, c.o.kernel_w, c.o.padding_h, c.o.padding_w);
    const Pool2dOptions o = uncounted(c.o);
    if (c.x.numel() < 400) {
      const auto greatest = [&](const std::vector<Tensor>& in) { return max_pool2d(in[0], c.o); };
      const auto mean = [&](const std::vector<Tensor>& in) { return avg_pool2d(in[0], c.o); };
      const auto bare = [&](const std::vector<Tensor>& in) { return avg_pool2d(in[0], o); };
      CHECK(gradient_error(greatest, {leaf(c.x, 1, -5)}) < 1e-6);
      CHECK(gradient_error(mean, {leaf(c.x, 1)}) < 1e-6);
      CHECK(gradient_error(bare, {leaf(c.x, 1)}) < 1e-6);
    }
    const Tensor x = random(c.x, 1), wide = x.to(DType::float64);
    CHECK(worst(gradient(x, c.o, false), gradient(wide, c.o, false)) < 1e-6);
    CHECK(worst(gradient(x, c.o, true), gradient(wide, c.o, true)) < 1e-6);
    CHECK(worst(gradient(x, o, true), gradient(wide, o, true)) < 1e-6);
  }
}

TEST_CASE("a mean of ones without its padding is exactly one", "[pool]") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    const Tensor ones = Tensor::ones({1, 1, 6, 7}, dtype);
    const std::vector<double> z = avg_pool2d(ones, uncounted({3, 5, 1, 1, 1, 2})).to_vector();
    for (const double value : z) CHECK(value == 1);
  }
}

TEST_CASE("max_pool2d: the padding gets no gradient, whatever x is", "[pool]") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    // -infinity is what the padding is made of.
    Tensor x = Tensor::full({1, 1, 2, 3}, -INFINITY, dtype);
    x.set_requires_grad();
    const Tensor z = max_pool2d(x, {3, 3, 1, 1, 1, 1});
    CHECK(z.to_vector() == std::vector<double>(6, -INFINITY));
    z.backward(Tensor::ones(z.shape(), dtype));
    // Each window's first element of x: (0, 0) of four windows, (0, 1) of two.
    CHECK(x.grad().to_vector() == std::vector<double>{4, 2, 0, 0, 0, 0});
  }
}

TEST_CASE("max_pool2d: equals and NaN at the edge", "[pool]") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    Tensor x = Tensor::zeros({1, 1, 3, 3}, dtype);
    x.set_requires_grad();
    const Tensor z = max_pool2d(x, {3, 3, 2, 2, 1, 1});
    z.backward(Tensor::ones(z.shape(), dtype));
    CHECK(x.grad().to_vector() == std::vector<double>{1, 1, 0, 1, 1, 0, 0, 0, 0});
    for (int64_t place = 0; place < 9; ++place) {
      Tensor y = random({1, 1, 3, 3}, 1);
      y.data<float>()[place] = NAN;
      y = y.to(dtype);
      y.set_requires_grad();
      const Tensor all = max_pool2d(y, {3, 3, 1, 1, 1, 1});
      const std::vector<double> values = all.to_vector();
      double windows = 0;
      for (int64_t i = 0; i < 9; ++i) {
        const bool covers = std::abs(i / 3 - place / 3) <= 1 && std::abs(i % 3 - place % 3) <= 1;
        CHECK(std::isnan(values[static_cast<size_t>(i)]) == covers);
        windows += covers;
      }
      all.backward(Tensor::ones(all.shape(), dtype));
      CHECK(y.grad().to_vector()[static_cast<size_t>(place)] == windows);
    }
  }
}

TEST_CASE("padded pools: the same for any number of threads", "[pool]") {
  const Tensor x = random({8, 20, 24, 24}, 1);
  const Pool2dOptions o = {3, 3, 2, 2, 1, 1};
  CHECK(same_for_any_threads([&] { return max_pool2d(x, o).to_vector(); }));
  CHECK(same_for_any_threads([&] { return gradient(x, o, false); }));
  CHECK(same_for_any_threads([&] { return gradient(x, uncounted(o), true); }));
}

TEST_CASE("padded pools of no planes", "[pool]") {
  Tensor x = Tensor::zeros({0, 3, 4, 4});
  x.set_requires_grad();
  const Pool2dOptions o = {3, 3, 2, 2, 1, 1};
  const Tensor z = max_pool2d(x, o) + avg_pool2d(x, uncounted(o));
  CHECK(z.shape() == Shape{0, 3, 2, 2});
  z.backward(Tensor::zeros(z.shape()));
  CHECK(x.grad().shape() == x.shape());
}

TEST_CASE("padded pools: the GPU agrees with the CPU", "[pool][cuda]") {
  for (const Case& c : kCases) {
    CAPTURE(c.x.str(), c.o.kernel_h, c.o.kernel_w, c.o.padding_h, c.o.padding_w);
    const auto max = [&](const std::vector<Tensor>& in) { return max_pool2d(in[0], c.o); };
    const auto mean = [&](const std::vector<Tensor>& in) { return avg_pool2d(in[0], c.o); };
    const auto bare = [&](const std::vector<Tensor>& in) {
      return avg_pool2d(in[0], uncounted(c.o));
    };
    const std::vector<Tensor> inputs = {leaf(c.x, 1, -5)};
    const std::vector<Tensor> lowest = {
        Tensor::full(c.x, -INFINITY, DType::float64).set_requires_grad()};
    for (const DType dtype : {DType::float32, DType::float64}) {
      const double most = dtype == DType::float32 ? 1e-6 : 1e-14;
      CHECK(cuda_difference(max, inputs, dtype) < most);
      CHECK(cuda_difference(max, lowest, dtype) < most);
      CHECK(cuda_difference(mean, inputs, dtype) < most);
      CHECK(cuda_difference(bare, inputs, dtype) < most);
    }
  }
}

TEST_CASE("pools say what is wrong with their padding", "[pool]") {
  const auto of = [](const Shape& x, const Pool2dOptions& o) {
    return error_of<ArgumentError>([&] { avg_pool2d(Tensor::ones(x), o); });
  };
  CHECK(of({1, 3, 4, 4}, {3, 3, 1, 1, 2, 1}) ==
        "avg_pool2d: padding_h must be in [0, 1], at most half of the window's 3, got 2");
  CHECK(of({1, 3, 4, 4}, {3, 2, 1, 1, 1, -1}) ==
        "avg_pool2d: padding_w must be in [0, 1], at most half of the window's 2, got -1");
  CHECK(of({1, 3, 4, 2}, {3, 6, 1, 1, 0, 1}) ==
        "avg_pool2d: the window must fit into the padded x, got 6 against 2 + 2 * 1 along w");
  CHECK(of({1, 3, 4, 0}, {2, 2, 1, 1, 1, 1}) ==
        "avg_pool2d: the window must fit into the padded x, got 2 against 0 + 2 * 1 along w");
  constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
  CHECK(of({1, 1, 4, 4}, {kHuge, kHuge, 1, 1, kHuge / 2, kHuge / 2}) ==
        "avg_pool2d: planes may have at most 2^31 - 1 elements, padding included, got x "
        "[1, 1, 4, 4]");
  CHECK(error_of<ArgumentError>([] {
          max_pool2d(Tensor::ones({1, 1, 4, 4}), uncounted({}));
        }) == "max_pool2d: count_include_pad is an option of avg_pool2d");
}

TEST_CASE("nn: padded pools are their ops", "[nn][pool]") {
  const Tensor x = random({2, 3, 7, 8}, 1);
  const Pool2dOptions o = {3, 3, 2, 2, 1, 1};
  CHECK(max_difference(nn::MaxPool2d(o)(x), max_pool2d(x, o)) == 0);
  CHECK(max_difference(nn::AvgPool2d(uncounted(o))(x), avg_pool2d(x, uncounted(o))) == 0);
}
