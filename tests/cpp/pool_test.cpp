#include <cmath>
#include <limits>
#include <string>

#include "catch.h"
#include "kernel_checks.h"

using namespace normlab;
using namespace normlab::test;

namespace {

struct Case {
  Shape x;
  Pool2dOptions o;
};

// Windows with gaps and overlaps, odd lengths, rows shorter and longer than a vector; kernel 2 and
// stride 2 have kernels of their own.
const std::vector<Case> kCases = {
    {{2, 3, 8, 8}, {}},           {{2, 1, 24, 24}, {}},
    {{1, 2, 5, 7}, {}},           {{1, 1, 2, 2}, {}},
    {{1, 2, 9, 35}, {}},          {{2, 2, 8, 9}, {3, 3}},
    {{2, 2, 8, 9}, {3, 2, 1, 1}}, {{1, 3, 11, 40}, {3, 3, 2, 2}},
    {{1, 1, 9, 9}, {2, 2, 4, 3}}, {{1, 2, 4, 5}, {4, 5}},
    {{1, 2, 4, 5}, {1, 1}},       {{3, 1, 7, 6}, {2, 3, 2, 2}},
};

const std::vector<Case> kPadded = {
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

TEST_CASE("pool: agrees with the definition", "[pool]") {
  for (const Case& c : kCases) {
    for (const DType dtype : {DType::float32, DType::float64}) {
      CAPTURE(c.x.str(), c.o.kernel_h, c.o.kernel_w, c.o.stride_h, c.o.stride_w, dtype);
      const Tensor x = random(c.x, 1, dtype);
      CHECK(max_pool2d(x, c.o).to_vector() == plain_pool(x, c.o, false));
      CHECK(worst(avg_pool2d(x, c.o).to_vector(), plain_pool(x, c.o, true)) < 1e-6);
    }
  }
}

TEST_CASE("pool: gradients", "[pool][grad]") {
  for (const Case& c : kCases) {
    CAPTURE(c.x.str(), c.o.kernel_h, c.o.kernel_w, c.o.stride_h, c.o.stride_w);
    if (c.x.numel() < 200) {
      const auto greatest = [&](const std::vector<Tensor>& in) { return max_pool2d(in[0], c.o); };
      const auto mean = [&](const std::vector<Tensor>& in) { return avg_pool2d(in[0], c.o); };
      CHECK(gradient_error(greatest, {leaf(c.x, 1)}) < 1e-6);
      CHECK(gradient_error(mean, {leaf(c.x, 1)}) < 1e-6);
    }
    const Tensor x = random(c.x, 1), wide = x.to(DType::float64);
    CHECK(worst(gradient(x, c.o, false), gradient(wide, c.o, false)) < 1e-6);
    CHECK(worst(gradient(x, c.o, true), gradient(wide, c.o, true)) < 1e-6);
  }
}

TEST_CASE("pool: the gradient goes to the first of equals", "[pool]") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    for (const int64_t width : {2, 8, 16, 22}) {
      Tensor x = Tensor::ones({1, 1, 2, width}, dtype);
      x.set_requires_grad();
      const Tensor z = max_pool2d(x);
      z.backward(Tensor::ones(z.shape(), dtype));
      for (int64_t i = 0; i < 2 * width; ++i)
        CHECK(x.grad().to_vector()[static_cast<size_t>(i)] == (i < width && i % 2 == 0 ? 1 : 0));
    }
    Tensor x = Tensor::ones({1, 1, 3, 3}, dtype);
    x.set_requires_grad();
    max_pool2d(x, {3, 3}).backward(Tensor::full({1, 1, 1, 1}, 5, dtype));
    CHECK(x.grad().to_vector() == std::vector<double>{5, 0, 0, 0, 0, 0, 0, 0, 0});
  }
}

TEST_CASE("pool: NaN wins wherever it is, and gets the gradient", "[pool]") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    for (const Pool2dOptions& o : {Pool2dOptions{}, Pool2dOptions{2, 3}}) {
      for (int64_t place = 0; place < 2 * 24; ++place) {
        CAPTURE(dtype, o.kernel_w, place);
        Tensor x = random({1, 1, 2, 24}, 1, dtype);
        for (int64_t i = 0; i < 48; ++i) {
          if (dtype == DType::float32 && i == place) x.data<float>()[i] = NAN;
          if (dtype == DType::float64 && i == place) x.data<double>()[i] = NAN;
        }
        x.set_requires_grad();
        const Tensor z = max_pool2d(x, o);
        const int64_t window = place % 24 / o.kernel_w;
        const std::vector<double> values = z.to_vector();
        for (size_t i = 0; i < values.size(); ++i)
          CHECK(std::isnan(values[i]) == (static_cast<int64_t>(i) == window));
        z.backward(Tensor::ones(z.shape(), dtype));
        CHECK(x.grad().to_vector()[static_cast<size_t>(place)] == 1);
        CHECK(std::isnan(avg_pool2d(x, o).to_vector()[static_cast<size_t>(window)]));
      }
    }
  }
}

TEST_CASE("pool: the same for any number of threads", "[pool]") {
  for (const Pool2dOptions& o : {Pool2dOptions{}, Pool2dOptions{3, 3, 2, 2}}) {
    const Tensor x = random({8, 20, 24, 24}, 1);
    CHECK(same_for_any_threads([&] { return max_pool2d(x, o).to_vector(); }));
    CHECK(same_for_any_threads([&] { return gradient(x, o, false); }));
    CHECK(same_for_any_threads([&] { return gradient(x, o, true); }));
  }
}

TEST_CASE("pool: no planes", "[pool]") {
  Tensor x = Tensor::zeros({0, 3, 4, 4});
  x.set_requires_grad();
  const Tensor z = max_pool2d(x) + avg_pool2d(x);
  CHECK(z.shape() == Shape{0, 3, 2, 2});
  z.backward(Tensor::zeros(z.shape()));
  CHECK(x.grad().shape() == x.shape());
}

TEST_CASE("pool: the GPU agrees with the CPU", "[pool][cuda]") {
  const std::vector<std::pair<Shape, Pool2dOptions>> cases = {
      {{2, 3, 4, 4}, {}},     {{2, 20, 24, 24}, {}},          {{1, 3, 7, 9}, {}},
      {{2, 2, 7, 9}, {3, 2}}, {{2, 2, 11, 8}, {3, 3, 2, 1}},  {{1, 2, 9, 9}, {2, 2, 3, 4}},
      {{1, 1, 1, 1}, {1, 1}}, {{1, 1, 513, 3}, {3, 3, 1, 1}}, {{0, 3, 4, 4}, {}}};
  for (const auto& [shape, options] : cases) {
    CAPTURE(shape.str(), options.kernel_h, options.kernel_w, options.stride_h, options.stride_w);
    const auto max = [&, o = options](const std::vector<Tensor>& in) {
      return max_pool2d(in[0], o);
    };
    const auto mean = [&, o = options](const std::vector<Tensor>& in) {
      return avg_pool2d(in[0], o);
    };
    const std::vector<Tensor> inputs = {leaf(shape, 1)};
    for (const DType dtype : {DType::float32, DType::float64}) {
      CHECK(cuda_difference(max, inputs, dtype) < (dtype == DType::float32 ? 1e-6 : 1e-14));
      CHECK(cuda_difference(mean, inputs, dtype) < (dtype == DType::float32 ? 1e-6 : 1e-14));
    }
  }
}

TEST_CASE("pool: the GPU's equals and NaN are the CPU's", "[pool][cuda]") {
  Tensor x = Tensor::of<double>({1, 1, 4, 4}, {1, 1, NAN, 2, 1, 1, 3, NAN, 0, 0, 5, 5, 0, 0, 5, 5});
  x.set_requires_grad();
  for (const Pool2dOptions& o : {Pool2dOptions{}, Pool2dOptions{3, 3, 1, 1}}) {
    const auto op = [&](const std::vector<Tensor>& in) { return max_pool2d(in[0], o); };
    CHECK(cuda_difference(op, {x}, DType::float32) < 1e-6);
    CHECK(cuda_difference(op, {x}) < 1e-6);
  }
}

TEST_CASE("pool: errors", "[pool]") {
  const auto of = [](const Shape& x, const Pool2dOptions& o) {
    return error_of<ArgumentError>([&] { max_pool2d(Tensor::ones(x), o); });
  };
  CHECK(of({3, 4, 4}, {}) == "max_pool2d: x must be [N, C, H, W], got [3, 4, 4]");
  CHECK(of({1, 3, 4, 4}, {5, 2}) ==
        "max_pool2d: the window must fit into x, got 5 against 4 along h");
  CHECK(of({1, 3, 4, 0}, {}) == "max_pool2d: the window must fit into x, got 2 against 0 along w");
  CHECK(of({1, 3, 4, 4}, {2, 0}) == "max_pool2d: kernel_w must be at least 1, got 0");
  CHECK(of({1, 3, 4, 4}, {2, 2, -1}) ==
        "max_pool2d: stride_h must be at least 1, or 0 for the kernel's, got -1");
  CHECK(error_of<ArgumentError>([] { avg_pool2d(Tensor::ones({2}), {}); }) ==
        "avg_pool2d: x must be [N, C, H, W], got [2]");
  CHECK_THROWS_AS(max_pool2d(Tensor::ones({1, 1, 4, 4}, DType::int32)), DtypeError);
  CHECK_THROWS_AS(avg_pool2d(Tensor::ones({1, 1, 4, 4}, DType::int32)), DtypeError);
}

// --- padding ------------------------------------------------------------------------------------

TEST_CASE("padded pools agree with the definition", "[pool]") {
  for (const Case& c : kPadded) {
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
  for (const Case& c : kPadded) {
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
  for (const Case& c : kPadded) {
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
