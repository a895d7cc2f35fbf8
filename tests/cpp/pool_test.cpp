#include <cmath>
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

/// Greatest or mean of each window by the definition.
std::vector<double> plain_pool(const Tensor& x, Pool2dOptions o, bool mean) {
  if (o.stride_h == 0) o.stride_h = o.kernel_h;
  if (o.stride_w == 0) o.stride_w = o.kernel_w;
  const int64_t H = x.size(2), W = x.size(3), planes = x.size(0) * x.size(1);
  const std::vector<double> in = x.to_vector();
  std::vector<double> z;
  for (int64_t p = 0; p < planes; ++p)
    for (int64_t y = 0; y + o.kernel_h <= H; y += o.stride_h)
      for (int64_t v = 0; v + o.kernel_w <= W; v += o.stride_w) {
        double sum = 0, most = -INFINITY;
        for (int64_t i = 0; i < o.kernel_h * o.kernel_w; ++i) {
          const double value = in[(p * H + y + i / o.kernel_w) * W + v + i % o.kernel_w];
          sum += value;
          most = std::max(most, value);
        }
        z.push_back(mean ? sum / static_cast<double>(o.kernel_h * o.kernel_w) : most);
      }
  return z;
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
