#include "ops/reduce.h"

#include <cmath>
#include <limits>

#include "catch.h"
#include "device.h"
#include "errors.h"
#include "op_row.h"
#include "threads.h"

using namespace normlab;
using test::error_of;
using test::kReducedAxes;
using test::max_difference;
using test::ReducedAxes;
using test::with_threads;

namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

Tensor numbers(const Shape& shape, uint64_t seed = 1, double mean = 0, double std = 1) {
  Generator generator(seed);
  return randn(shape, mean, std, DType::float32, generator);
}

/// The values of x that each element of the result is made of, in row-major order, by the plainest
/// of loops.
std::vector<std::vector<double>> groups(const Tensor& x, const std::vector<int>& axes) {
  const Shape& shape = x.shape();
  std::vector<bool> reduced(shape.rank(), axes.empty());
  for (const int a : axes) reduced[a < 0 ? a + shape.rank() : a] = true;
  int64_t count = 1;
  for (int i = 0; i < shape.rank(); ++i) count *= reduced[i] ? 1 : shape[i];
  std::vector<std::vector<double>> values(count);
  const std::vector<double> flat = x.to_vector();
  for (int64_t k = 0; k < x.numel(); ++k) {
    int64_t rest = k, place = 0, step = 1;
    for (int i = shape.rank() - 1; i >= 0; --i) {
      if (!reduced[i]) {
        place += rest % shape[i] * step;
        step *= shape[i];
      }
      rest /= shape[i];
    }
    values[place].push_back(flat[k]);
  }
  return values;
}

double plain_mean(const std::vector<double>& v) {
  double sum = 0;
  for (const double a : v) sum += a;
  return sum / static_cast<double>(v.size());
}

double plain_var(const std::vector<double>& v, int correction) {
  const double m = plain_mean(v);
  double sum = 0;
  for (const double a : v) sum += (a - m) * (a - m);
  return sum / static_cast<double>(static_cast<int>(v.size()) - correction);
}

}  // namespace

TEST_CASE("sum, mean and var of float32 are those of plain loops", "[reduce]") {
  for (const ReducedAxes& c : kReducedAxes) {
    CAPTURE(c.shape, c.axes);
    const Tensor x = numbers(c.shape, 3, 0.5);
    const auto parts = groups(x, c.axes);
    const std::vector<double> sums = sum(x, c.axes).to_vector(),
                              means = mean(x, c.axes).to_vector();
    const std::vector<double> vars = var(x, c.axes).to_vector();
    REQUIRE(sums.size() == parts.size());
    REQUIRE(means.size() == parts.size());
    REQUIRE(vars.size() == parts.size());
    double worst = 0;
    for (size_t k = 0; k < parts.size(); ++k) {
      const double n = static_cast<double>(parts[k].size());
      worst = std::max(worst, std::abs(sums[k] / n - plain_mean(parts[k])));
      worst = std::max(worst, std::abs(means[k] - plain_mean(parts[k])));
      worst = std::max(worst, std::abs(vars[k] - plain_var(parts[k], 0)));
    }
    CHECK(worst < 5e-7);
  }
}

TEST_CASE("the fast reductions agree with the reference", "[reduce]") {
  const AxisView view =
      GENERATE(AxisView{5, 700, 1}, AxisView{2, 40000, 1}, AxisView{3, 2, 1}, AxisView{3, 300, 33},
               AxisView{1, 3000, 2}, AxisView{2, 17, 600}, AxisView{1, 1, 9}, AxisView{4, 5, 3});
  CAPTURE(view.outer, view.n, view.inner);
  const Shape shape{view.outer, view.n, view.inner};
  const Tensor x = numbers(shape, 4), center = numbers({view.outer, 1, view.inner}, 5);
  Tensor want = Tensor::empty(center.shape());
  reference::sum(x.data<float>(), center.data<float>(), view, 0.25, want.data<float>());
  Tensor got = Tensor::empty(center.shape());
  const ReduceKernels& kernels = reduce_kernels_for_cpu();
  Tensor scratch = Tensor::empty({kernels.scratch(view)}, DType::float64);
  kernels.sum(x.data<float>(), center.data<float>(), view, 0.25, scratch.data<double>(),
              got.data<float>());
  CHECK(max_difference(got, want) < 1e-6 * static_cast<double>(view.n));

  Tensor place = Tensor::empty(center.shape(), DType::int64), other = place.clone();
  reference::max(x.data<float>(), view, want.data<float>(), other.data<int64_t>());
  kernels.max(x.data<float>(), view, got.data<float>(), place.data<int64_t>());
  CHECK(max_difference(got, want) == 0);
  CHECK(max_difference(place, other) == 0);
}

TEST_CASE("shapes of reductions", "[reduce]") {
  const Tensor x = numbers({2, 3, 4});
  CHECK(sum(x).shape() == Shape{});
  CHECK(sum(x, {}, true).shape() == Shape{1, 1, 1});
  CHECK(sum(x, {1}).shape() == Shape{2, 4});
  CHECK(mean(x, {-1, 0}, true).shape() == Shape{1, 3, 1});
  CHECK(var(x, {0, 2}).shape() == Shape{3});
  CHECK(var(x, {0, 2}, true).shape() == Shape{1, 3, 1});
  CHECK(max(x).shape() == Shape{});
  CHECK(max(x, -2).shape() == Shape{2, 4});
  CHECK(argmax(x, 0, true).shape() == Shape{1, 3, 4});
  CHECK(argmax(x).dtype() == DType::int64);
  CHECK(max_difference(sum(Tensor::zeros({0, 3}), {0}), Tensor::zeros({3})) == 0);
  CHECK(mean(Tensor::zeros({0, 3}), {1}).shape() == Shape{0});
  CHECK(max(Tensor::zeros({0, 3}), 1).shape() == Shape{0});
  CHECK(sum(Tensor::zeros({3, 0, 2}), {1, 2}).shape() == Shape{3});
}

TEST_CASE("long float32 sums stay accurate", "[reduce]") {
  constexpr int64_t kCount = 10'000'000;
  const double want = static_cast<double>(0.1f) * kCount;
  const Tensor x = Tensor::full({kCount}, 0.1);
  CHECK(std::abs(sum(x).item() - want) < 1e-6 * want);
  CHECK(std::abs(mean(x).item() - 0.1f) < 1e-7);
  CHECK(var(x).item() < 1e-14);
  const Tensor columns = sum(x.reshape({kCount / 10, 10}), {0});
  for (const double s : columns.to_vector()) CHECK(std::abs(s - want / 10) < 1e-7 * want);
  const Tensor far = numbers({100000}, 6, 1000, 1);
  const Tensor exact = var(far.to(DType::float64));
  CHECK(std::abs(var(far).item() - exact.item()) < 1e-5);
}

TEST_CASE("sums of integers and booleans are int64", "[reduce]") {
  const Tensor i = Tensor::of<int32_t>({2, 3}, {2147483647, 2, 3, 2147483647, 5, -6});
  const Tensor z = sum(i, {0});
  CHECK(z.dtype() == DType::int64);
  CHECK(z.to_vector() == std::vector<double>{4294967294.0, 7, -3});
  CHECK(sum(Tensor::of<uint8_t>({3}, {200, 100, 255})).item() == 555);
  CHECK(sum(compare(i, 3.0, Comparison::ge)).item() == 4);
  CHECK(sum(Tensor::arange(1000)).item() == 499500);
  CHECK(sum(i.reshape({1, 2, 1, 3, 1}), {1, 3}).item() == 4294967298.0);
}

TEST_CASE("greatest elements and their places", "[reduce]") {
  const Tensor x = Tensor::of<float>({2, 4}, {1, 7, 7, -1, -kInf, -3, -kInf, -3});
  CHECK(max(x).item() == 7);
  CHECK(max(x, 1).to_vector() == std::vector<double>{7, -3});
  CHECK(argmax(x, 1).to_vector() == std::vector<double>{1, 1});
  CHECK(argmax(x, 0).to_vector() == std::vector<double>{0, 0, 0, 0});
  const Tensor low = Tensor::full({3, 40}, -kInf);
  CHECK(argmax(low).to_vector() == std::vector<double>{0, 0, 0});
  CHECK(max(low, 0).to_vector() == std::vector<double>(40, -kInf));
  const Tensor i = Tensor::of<int64_t>({2, 2}, {4, -9, 9007199254740993, 3});
  CHECK(max(i).data<int64_t>()[0] == 9007199254740993);
  CHECK(argmax(i, 0).to_vector() == std::vector<double>{1, 1});
}

TEST_CASE("NaN and infinity go through reductions", "[reduce]") {
  for (const int64_t n : {3, 50, 600}) {
    Tensor x = numbers({n, 20}, 7);
    x.data<float>()[(n - 1) * 20 + 4] = kNan;
    x.data<float>()[20 + 4] = kInf;
    CAPTURE(n);
    for (const Tensor& t : {x, x.to(DType::float64)}) {
      CHECK(std::isnan(max(t).item()));
      CHECK(std::isnan(sum(t).item()));
      CHECK(std::isnan(var(t).item()));
      CHECK(argmax(t, 0).to_vector()[4] == n - 1);
      CHECK(argmax(transpose(t), 1).to_vector()[4] == n - 1);
      CHECK(std::isnan(max(t, 0).to_vector()[4]));
      CHECK(std::isnan(max(transpose(t), 1).to_vector()[4]));
      CHECK(!std::isnan(max(t, 0).to_vector()[3]));
    }
  }
  CHECK(sum(Tensor::of<float>({2}, {kInf, 1})).item() == kInf);
}

TEST_CASE("the gradient of max goes to the first of equals", "[reduce][grad]") {
  Tensor x = Tensor::of<float>({2, 3}, {5, 5, 1, 0, 2, 2});
  x.set_requires_grad();
  max(x, 1).backward(Tensor::of<float>({2}, {3, 4}));
  CHECK(x.grad().to_vector() == std::vector<double>{3, 0, 0, 0, 4, 0});
}

TEST_CASE("reductions do not depend on the number of threads", "[reduce]") {
  const auto all = [] {
    const Tensor x = numbers({70, 3001}, 11);
    const Tensor y = numbers({4000, 9}, 12);
    return std::vector<Tensor>{sum(x),      sum(x, {0}),  sum(x, {1}), var(x),      var(x, {0}),
                               sum(y, {0}), var(y, {0}),  mean(y),     max(x, 0),   argmax(x, 1),
                               max(y),      argmax(y, 0), var(x, {1}), mean(x, {1})};
  };
  const std::vector<Tensor> one = with_threads(1, all), five = with_threads(5, all);
  for (size_t k = 0; k < one.size(); ++k) CHECK(max_difference(one[k], five[k]) == 0);
}

TEST_CASE("reductions refuse what they cannot do", "[reduce][error]") {
  const Tensor x = numbers({2, 3}), empty = Tensor::zeros({0, 3});
  CHECK(error_of<RangeError>([&] { sum(x, {2}); }) ==
        "sum: axis must be in [-2, 2) for shape [2, 3], got 2");
  CHECK(error_of<ArgumentError>([&] {
          mean(x, {1, -1});
        }) == "mean: axes must differ, got axis -1 of shape [2, 3] twice");
  CHECK(error_of<ShapeError>([&] { mean(empty); }) ==
        "mean: no elements to average in shape [0, 3]");
  CHECK(error_of<ShapeError>([&] { max(empty, 0); }) ==
        "max: no elements to choose from in shape [0, 3]");
  CHECK(error_of<ShapeError>([&] { argmax(empty, 0); }) ==
        "argmax: no elements to choose from in shape [0, 3]");
  CHECK(error_of<ShapeError>([&] { var(x, {0}, false, 2); }) ==
        "var: needs more than correction = 2 elements to reduce, got 2 in shape [2, 3]");
  CHECK(error_of<ArgumentError>([&] { var(x, {0}, false, -1); }) ==
        "var: correction must not be negative, got -1");
  CHECK(error_of<DtypeError>([&] { mean(Tensor::ones({3}, DType::bfloat16)); }) ==
        "mean: x must be float32 or float64, got bfloat16");
  CHECK(error_of<DtypeError>([&] { var(Tensor::arange(3)); }) ==
        "var: x must be float32 or float64, got int64");
}

TEST_CASE("reductions on the GPU give the same bits every time", "[reduce][cuda]") {
  if (!test::has_device()) return;
  const Tensor x = numbers({90000, 3}).to(Device::cuda);
  CHECK(sum(x).item() == sum(x).item());
  CHECK(sum(x, {0}).to_vector() == sum(x, {0}).to_vector());
}
