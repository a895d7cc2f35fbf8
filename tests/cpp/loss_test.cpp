#include "ops/loss.h"

#include <cmath>
#include <limits>

#include "catch.h"
#include "errors.h"
#include "gradcheck.h"
#include "threads.h"

using namespace normlab;
using test::error_of;
using test::gradient_error;
using test::leaf;
using test::max_difference;
using test::with_threads;

namespace {

using Inputs = std::vector<Tensor>;
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

Tensor numbers(const Shape& shape, uint64_t seed, double std = 2) {
  Generator generator(seed);
  return randn(shape, 0, std, DType::float32, generator);
}

Tensor classes(const Shape& shape, int64_t n, uint64_t seed) {
  Generator generator(seed);
  return randint(0, n, shape, generator);
}

/// Losses of the rows by the formula, from log_softmax in float64; 0 where ignored.
std::vector<double> plain_losses(const Tensor& logits, const Tensor& targets, double smoothing,
                                 std::optional<int64_t> ignore) {
  const std::vector<double> logp = log_softmax(logits.to(DType::float64)).to_vector();
  const std::vector<double> target = targets.to_vector();
  const int64_t n = logits.size(-1);
  std::vector<double> losses;
  for (size_t r = 0; r < target.size(); ++r) {
    double mean = 0;
    for (int64_t i = 0; i < n; ++i) mean -= logp[r * n + i] / static_cast<double>(n);
    const int64_t t = static_cast<int64_t>(target[r]);
    const bool counts = !ignore || t != *ignore;
    losses.push_back(counts ? -(1 - smoothing) * logp[r * n + t] + smoothing * mean : 0.0);
  }
  return losses;
}

}  // namespace

TEST_CASE("cross_entropy is its formula", "[loss]") {
  const Shape shape =
      GENERATE(Shape{1, 1}, Shape{7, 3}, Shape{5, 16}, Shape{2, 3, 37}, Shape{3, 30011}, Shape{10});
  const double smoothing = GENERATE(0.0, 0.1);
  const auto ignore = GENERATE(std::optional<int64_t>(), std::optional<int64_t>(1));
  const DType dtype = GENERATE(DType::float32, DType::float64);
  CAPTURE(shape, smoothing, ignore.has_value(), dtype);
  const Tensor x = numbers(shape, 1).to(dtype);
  const Tensor t = classes(shape.sub(0, shape.rank() - 1), shape[-1], 2).to(DType::int32);
  const std::vector<double> want = plain_losses(x, t, smoothing, ignore);
  CrossEntropyOptions options{smoothing, ignore, Reduction::none};
  const Tensor each = cross_entropy(x, t, options);
  CHECK(each.shape() == t.shape());
  const double tolerance = dtype == DType::float32 ? 3e-6 : 1e-12;
  double total = 0, count = 0;
  for (size_t r = 0; r < want.size(); ++r) {
    CHECK(std::abs(each.to_vector()[r] - want[r]) < tolerance);
    total += want[r];
    count += !ignore || t.to_vector()[r] != static_cast<double>(*ignore);
  }
  options.reduction = Reduction::sum;
  CHECK(std::abs(cross_entropy(x, t, options).item() - total) < tolerance * 10);
  options.reduction = Reduction::mean;
  const double mean = cross_entropy(x, t, options).item();
  if (count > 0)
    CHECK(std::abs(mean - total / count) < tolerance);
  else
    CHECK(std::isnan(mean));
}

TEST_CASE("gradient of cross_entropy", "[loss][grad]") {
  const double smoothing = GENERATE(0.0, 0.2);
  const auto ignore = GENERATE(std::optional<int64_t>(), std::optional<int64_t>(-100));
  const Reduction reduction = GENERATE(Reduction::none, Reduction::sum, Reduction::mean);
  CAPTURE(smoothing, ignore.has_value(), static_cast<int>(reduction));
  const Inputs x{leaf({2, 3, 5}, 3)};
  Tensor t = classes({2, 3}, 5, 4);
  if (ignore) t.data<int64_t>()[2] = -100;
  const CrossEntropyOptions options{smoothing, ignore, reduction};
  const auto op = [&](const Inputs& in) { return cross_entropy(in[0], t, options); };
  CHECK(gradient_error(op, x) < 1e-6);
}

TEST_CASE("float32 gradient of cross_entropy is that of float64", "[loss][grad]") {
  const int64_t n = GENERATE(1, 3, 16, 37, 513);
  const double smoothing = GENERATE(0.0, 0.1);
  CAPTURE(n, smoothing);
  Tensor x = numbers({6, n}, 5), y = x.to(DType::float64);
  x.set_requires_grad();
  y.set_requires_grad();
  const Tensor t = classes({6}, n, 6);
  cross_entropy(x, t, {.label_smoothing = smoothing}).backward(Tensor::scalar(2.5));
  cross_entropy(y, t, {.label_smoothing = smoothing}).backward(Tensor::scalar(2.5, DType::float64));
  CHECK(max_difference(x.grad(), y.grad()) < 3e-7);
}

TEST_CASE("rows that are ignored count nothing, whatever they hold", "[loss]") {
  Tensor x = numbers({3, 20}, 7);
  x.data<float>()[25] = kNan;
  x.set_requires_grad();
  const Tensor t = Tensor::of<int64_t>({3}, {4, -1, 19});
  const Tensor loss = cross_entropy(x, t, {.ignore_index = -1});
  CHECK(std::isfinite(loss.item()));
  loss.backward();
  const std::vector<double> g = x.grad().to_vector();
  for (int64_t i = 0; i < 60; ++i) CHECK((g[i] == 0) == (i / 20 == 1));
}

TEST_CASE("a mean over no rows is NaN with gradient 0", "[loss]") {
  Tensor x = numbers({2, 5}, 8);
  x.set_requires_grad();
  const Tensor t = Tensor::of<int32_t>({2}, {3, 3});
  const Tensor loss = cross_entropy(x, t, {.ignore_index = 3});
  CHECK(std::isnan(loss.item()));
  loss.backward();
  CHECK(max_difference(x.grad(), Tensor::zeros({2, 5})) == 0);
  CHECK(std::isnan(cross_entropy(Tensor::zeros({0, 5}), Tensor::zeros({0}, DType::int64)).item()));
  CHECK(cross_entropy(Tensor::zeros({0, 5}), Tensor::zeros({0}, DType::int64),
                      {.reduction = Reduction::sum})
            .item() == 0);
}

TEST_CASE("NaN and infinite logits", "[loss]") {
  const Tensor t = Tensor::of<int64_t>({1}, {0});
  Tensor x = Tensor::zeros({1, 40});
  x.data<float>()[39] = kNan;
  CHECK(std::isnan(cross_entropy(x, t).item()));
  CHECK(std::isnan(cross_entropy(x.to(DType::float64), t).item()));
  x.data<float>()[39] = -kInf;
  CHECK(std::abs(cross_entropy(x, t).item() - std::log(39.0)) < 1e-6);
  CHECK(cross_entropy(x, t, {.label_smoothing = 0.1}).item() == kInf);
  x.data<float>()[0] = -kInf;
  CHECK(cross_entropy(x, t).item() == kInf);
  x.fill_(1e30);
  CHECK(std::abs(cross_entropy(x, t).item() - std::log(40.0)) < 1e-6);
}

TEST_CASE("large common offsets do not spoil the gradient", "[loss][grad]") {
  Tensor x = Tensor::of<float>({1, 3}, {4096, 4097, 4098}),
         y = Tensor::of<float>({1, 3}, {0, 1, 2});
  x.set_requires_grad();
  y.set_requires_grad();
  const Tensor t = Tensor::of<int64_t>({1}, {1});
  cross_entropy(x, t).backward();
  cross_entropy(y, t).backward();
  CHECK(max_difference(x.grad(), y.grad()) == 0);
}

TEST_CASE("logits changed in place before backward are refused", "[loss][grad]") {
  Tensor x = numbers({2, 3}, 9);
  x.set_requires_grad();
  const Tensor loss = cross_entropy(x, Tensor::of<int64_t>({2}, {0, 1}));
  x.fill_(0);
  CHECK(error_of<GradError>([&] { loss.backward(); }) != "");
}

TEST_CASE("cross_entropy does not depend on the number of threads", "[loss]") {
  const auto all = [] {
    Tensor x = numbers({300, 1000}, 10);
    x.set_requires_grad();
    const Tensor loss = cross_entropy(x, classes({300}, 1000, 11), {.label_smoothing = 0.1});
    loss.backward();
    return Inputs{loss, x.grad()};
  };
  const Inputs one = with_threads(1, all), five = with_threads(5, all);
  for (size_t k = 0; k < one.size(); ++k) CHECK(max_difference(one[k], five[k]) == 0);
}

TEST_CASE("cross_entropy refuses what it cannot do", "[loss][error]") {
  const Tensor x = numbers({2, 3}, 12);
  const Tensor t = Tensor::of<int64_t>({2}, {0, 1});
  CHECK(error_of<DtypeError>([&] { cross_entropy(Tensor::arange(3), t); }) ==
        "cross_entropy: logits must be float32, float64 or bfloat16, got int64");
  CHECK(error_of<ShapeError>([&] { cross_entropy(x, Tensor::arange(3)); }) ==
        "cross_entropy: targets must be [2], one class for each row of logits [2, 3], got [3]");
  CHECK(error_of<ShapeError>([&] { cross_entropy(Tensor::scalar(0), t); }) ==
        "cross_entropy: logits must be [..., V], got a scalar");
  CHECK(error_of<RangeError>([&] {
          cross_entropy(x, Tensor::of<int64_t>({2}, {0, 3}));
        }) == "cross_entropy: target classes must be in [0, 3), got 3 in row 1");
  CHECK(error_of<RangeError>([&] {
          cross_entropy(x, Tensor::of<int64_t>({2}, {-1, 3}), {.ignore_index = 3});
        }) == "cross_entropy: target classes must be in [0, 3), got -1 in row 0");
  CHECK(error_of<ArgumentError>([&] { cross_entropy(x, t, {.label_smoothing = 1.0}); }) ==
        "cross_entropy: label_smoothing must be in [0, 1), got 1");
  CHECK(error_of<ArgumentError>([&] { cross_entropy(x, t, {.label_smoothing = -0.1}); }) != "");
  CHECK(error_of<ArgumentError>([&] { cross_entropy(x, t, {.label_smoothing = kNan}); }) != "");
}

TEST_CASE("cross_entropy on the GPU agrees with the CPU", "[loss][cuda]") {
  const Shape shape = GENERATE(Shape{1, 1}, Shape{3, 5}, Shape{2, 9, 33}, Shape{1100, 4},
                               Shape{3, 513}, Shape{2, 9001});
  const Reduction reduction = GENERATE(Reduction::none, Reduction::sum, Reduction::mean);
  const double smoothing = GENERATE(0.0, 0.3);
  CAPTURE(shape, static_cast<int>(reduction), smoothing);
  const Tensor targets = classes(shape.sub(0, shape.rank() - 1), shape[shape.rank() - 1], 1);
  CrossEntropyOptions options{smoothing, std::nullopt, reduction};
  const auto op = [&](const Inputs& in) {
    return cross_entropy(in[0], targets.to(in[0].device()), options);
  };
  const auto narrow = [&](const Inputs& in) {
    return cross_entropy(in[0], targets.to(DType::int32).to(in[0].device()), options);
  };
  const double most = reduction == Reduction::sum ? 1e-4 : 1e-5;
  CHECK(test::cuda_difference(op, {leaf(shape, 2, 0, 2)}) < 1e-12);
  CHECK(test::cuda_difference(narrow, {leaf(shape, 2, 0, 2)}, DType::float32) < most);
  CHECK(test::cuda_difference(narrow, {leaf(shape, 2, 0, 2)}, DType::bfloat16) < 0.03);
  options.ignore_index = 0;
  CHECK(test::cuda_difference(op, {leaf(shape, 2, 0, 2)}) < 1e-12);
  CHECK(test::cuda_difference(narrow, {leaf(shape, 2, 0, 2)}, DType::float32) < most);
}

TEST_CASE("cross_entropy of no rows and of extreme ones on the GPU", "[loss][cuda]") {
  for (const Reduction reduction : {Reduction::none, Reduction::sum, Reduction::mean}) {
    CAPTURE(static_cast<int>(reduction));
    const CrossEntropyOptions options{0.0, -1, reduction};
    const auto op = [&](const Inputs& in) {
      const Tensor targets = Tensor::full({in[0].size(0)}, -1, DType::int64, in[0].device());
      return cross_entropy(in[0], targets, options);
    };
    const auto first = [&](const Inputs& in) {
      const Tensor targets = Tensor::zeros({in[0].size(0)}, DType::int64, in[0].device());
      return cross_entropy(in[0], targets, options);
    };
    CHECK(test::cuda_difference(op, {leaf({0, 3}, 1)}) == 0);
    CHECK(test::cuda_difference(op, {leaf({4, 3}, 1)}) == 0);
    const Tensor extreme =
        Tensor::of<float>({4, 2}, {kNan, 1, 0, -kInf, -kInf, 0, 1e4f, -1e4f}).set_requires_grad();
    CHECK(test::cuda_difference(first, {extreme}, DType::float32) < 1e-5);
  }
}

TEST_CASE("a class that is none is an error of the GPU's next wait", "[loss][cuda]") {
  if (!test::has_device()) return;
  const Tensor logits = numbers({3, 5}, 1), targets = Tensor::of<int32_t>({3}, {4, 5, -1});
  const std::string message = error_of<RangeError>([&] { cross_entropy(logits, targets); });
  CHECK(message == "cross_entropy: target classes must be in [0, 5), got 5 in row 1");
  const Tensor there = logits.to(Device::cuda);
  const Tensor loss = cross_entropy(there, targets.to(Device::cuda));
  CHECK(error_of<RangeError>([&] { loss.item(); }) == message);
  CHECK(std::isnan(loss.item()));
  CHECK(error_of<DeviceError>([&] { cross_entropy(there, targets); }) ==
        "cross_entropy: targets must be on cuda as logits, are on cpu");
}
