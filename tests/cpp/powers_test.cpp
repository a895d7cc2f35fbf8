#include <cmath>
#include <limits>
#include <vector>

#include "catch.h"
#include "device.h"
#include "errors.h"
#include "op_row.h"

// Powers, floored division, logsumexp and unit vectors.

using namespace normlab;
using test::cuda_difference;
using test::error_of;
using test::gradient_error;
using test::leaf;
using test::Op;
using test::positive;

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

bool close(double a, double b, double relative) {
  return std::abs(a - b) <= relative * std::abs(b);
}

/// The gradients of a and b at sum(op(a, b)).
std::pair<double, double> gradients(BinaryFunction op, double a, double b,
                                    DType dtype = DType::float64) {
  Tensor x = Tensor::scalar(a, dtype).set_requires_grad(),
         y = Tensor::scalar(b, dtype).set_requires_grad();
  op(x, y).backward();
  return {x.grad().item(), y.grad().item()};
}

/// Python's float_divmod, in words of its own: the floor of the exact quotient.
double floored(double a, double b) {
  return std::floor((a - std::fmod(std::fmod(a, b) + b, b)) / b + 0.25);
}

}  // namespace

TEST_CASE("powers at the edges", "[powers]") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    const auto at = [&](double a, double b) { return gradients(pow, a, b, dtype); };
    CHECK(at(0, 0) == std::pair(0.0, 0.0));
    CHECK(at(0, 2) == std::pair(0.0, 0.0));
    CHECK(at(0, 1) == std::pair(1.0, 0.0));
    CHECK(at(0, -1) == std::pair(-kInf, -kInf));
    CHECK(at(-2, 3).first == 12);
    CHECK(std::isnan(at(-2, 3).second));
    CHECK(at(-2, 0).first == 0);
    CHECK(at(1, 5) == std::pair(5.0, 0.0));
    const auto value = [&](double a, double b) {
      return pow(Tensor::scalar(a, dtype), Tensor::scalar(b, dtype)).item();
    };
    CHECK(value(0, 0) == 1);
    CHECK(value(1, NAN) == 1);
    CHECK(value(NAN, 0) == 1);
    CHECK(value(-2, 3) == -8);
    CHECK(std::isnan(value(-2, 0.5)));
    CHECK(value(0, -1) == kInf);
    CHECK(value(0.5, -kInf) == kInf);
    CHECK(pow(1, Tensor::scalar(NAN, dtype)).item() == 1);
  }
}

TEST_CASE("a number to the power of a tensor is right to the last bit or next to it", "[powers]") {
  const Tensor k = Tensor::arange(254).to(DType::float32) - 126;
  const Tensor z = pow(2, k);
  for (int64_t i = 0; i < k.numel(); ++i)
    CHECK(z[i].item() == std::ldexp(1.0, static_cast<int>(k[i].item())));
  for (int i = 0; i <= 10; ++i)
    CHECK(pow(10, Tensor::scalar(i)).item() == static_cast<float>(std::pow(10.0, i)));
  CHECK(pow(-2, Tensor::scalar(3)).item() == -8);
  Generator generator(4);
  const Tensor base = rand({2000}, 0.01, 30, DType::float32, generator);
  const Tensor exponent = rand({2000}, -20, 20, DType::float32, generator);
  const Tensor power = pow(base, exponent);
  double worst = 0;
  for (int64_t i = 0; i < base.numel(); ++i) {
    const double want = std::pow(base[i].item(), exponent[i].item());
    const double ulp = std::ldexp(1.0, std::max(-149, std::ilogb(want) - 23));
    if (want < 1e38) worst = std::max(worst, std::abs(power[i].item() - want) / ulp);
  }
  CHECK(worst < 1);
}

TEST_CASE("integers to the power of integers", "[powers][cuda]") {
  for (const DType dtype : {DType::int32, DType::int64, DType::uint8}) {
    const Tensor a = Tensor::of<int64_t>({5}, {0, 1, 2, 3, 7}).to(dtype);
    CHECK(pow(a, 2).to_vector() == std::vector<double>{0, 1, 4, 9, 49});
    CHECK(pow(a, 0).to_vector() == std::vector<double>{1, 1, 1, 1, 1});
    CHECK(pow(2, a).to_vector() == std::vector<double>{1, 2, 4, 8, 128});
    CHECK(pow(a, a)[3].item() == 27);
    CHECK(pow(a, 2).dtype() == dtype);
    CHECK(cuda_difference([](const auto& in) { return pow(in[0], in[0]); }, {a}) == 0);
    CHECK(cuda_difference([](const auto& in) { return pow(3, in[0]); }, {a}) == 0);
  }
  CHECK(pow(Tensor::scalar(3, DType::int64), 39).item<int64_t>() == 4052555153018976267);
  CHECK(pow(Tensor::scalar(3, DType::int64), 41).item<int64_t>() == -420491770248316829);  // wraps
  CHECK(pow(Tensor::scalar(7, DType::uint8), 3).item() == 343 % 256);
  CHECK(pow(Tensor::scalar(-2, DType::int32), 3).item() == -8);
  CHECK(error_of<ArgumentError>([] { pow(Tensor::ones({2}, DType::int64), -1); }) ==
        "pow: an integer's exponent must not be negative (to('float32') converts), got -1");
  CHECK(error_of<ArgumentError>([] {
          pow(Tensor::ones({2}, DType::int64), Tensor::of<int64_t>({2}, {3, -2}));
        }) ==
        "pow: an integer's exponent must not be negative (to('float32') converts), got -2 at [1]");
  CHECK_THROWS_AS(pow(2, Tensor::scalar(-1, DType::int32)), ArgumentError);
  CHECK_THROWS_AS(pow(Tensor::ones({2}, DType::int64), 0.5), DtypeError);
  CHECK_THROWS_AS(pow(0.5, Tensor::ones({2}, DType::int64)), DtypeError);
  CHECK_THROWS_AS(pow(Tensor::ones({2}, DType::boolean), 2), DtypeError);
}

TEST_CASE("floored division and its remainder", "[powers][cuda]") {
  CHECK(floor_divide(Tensor::scalar(1.0, DType::float64), 0.1).item() == 9);
  CHECK(floor_divide(1.0, Tensor::scalar(0.1, DType::float64)).item() == 9);
  for (const DType dtype : {DType::float32, DType::float64}) {
    const auto divide = [&](double a, double b) {
      return floor_divide(Tensor::scalar(a, dtype), b).item();
    };
    const auto rest = [&](double a, double b) {
      return remainder(Tensor::scalar(a, dtype), b).item();
    };
    CHECK(divide(-7, 2) == -4);
    CHECK(divide(7, -2) == -4);
    CHECK(rest(-7, 2) == 1);
    CHECK(rest(7, -2) == -1);
    CHECK(divide(1, 0) == kInf);
    CHECK(divide(-1, 0) == -kInf);
    CHECK(std::isnan(divide(0, 0)));
    CHECK(std::isnan(rest(1, 0)));
    CHECK(rest(5, kInf) == 5);
    CHECK(rest(-5, kInf) == kInf);
    CHECK(divide(-1, kInf) == -1);
    CHECK(std::isnan(divide(kInf, 1)));
    CHECK(std::isnan(rest(NAN, 1)));
    CHECK(std::signbit(rest(4, -2)));
    Generator generator(1);
    const Tensor a = rand({401}, -50, 50, DType::float64, generator).to(dtype),
                 b = rand({401}, -5, 5, DType::float64, generator).to(dtype);
    const Tensor q = floor_divide(a, b), r = remainder(a, b);
    for (int64_t i = 0; i < a.numel(); ++i) {
      const double x = a[i].item(), y = b[i].item();
      CHECK(q[i].item() == floored(x, y));
      CHECK(std::abs(r[i].item() - (x - y * floored(x, y))) < 1e-5);
      CHECK((r[i].item() == 0 || (r[i].item() < 0) == (y < 0)));
    }
  }
  const Op quotient = [](const auto& in) { return floor_divide(in[0], in[1]); };
  CHECK_THROWS_AS(
      quotient({leaf({2}, 1), positive({2}, 2)}).backward(Tensor::ones({2}, DType::float64)),
      GradError);
  CHECK_THROWS_AS(floor_divide(leaf({2}, 1), 2).backward(Tensor::ones({2}, DType::float64)),
                  GradError);
  const std::vector<Tensor> some = {leaf({4, 3}, 1, 0, 5), positive({3}, 2)};
  CHECK(cuda_difference(quotient, {some[0].detach(), some[1].detach()}) == 0);
}

TEST_CASE("floored division of integers", "[powers][cuda]") {
  for (const DType dtype : {DType::int32, DType::int64}) {
    const Tensor a = Tensor::of<int64_t>({6}, {7, -7, 7, -7, 6, 0}).to(dtype),
                 b = Tensor::of<int64_t>({6}, {2, 2, -2, -2, -3, 5}).to(dtype);
    CHECK(floor_divide(a, b).to_vector() == std::vector<double>{3, -4, -4, 3, -2, 0});
    CHECK(remainder(a, b).to_vector() == std::vector<double>{1, 1, -1, -1, 0, 0});
    CHECK(floor_divide(100, b).to_vector() == std::vector<double>{50, 50, -50, -50, -34, 20});
    CHECK(floor_divide(a, b).dtype() == dtype);
    CHECK(cuda_difference([](const auto& in) { return floor_divide(in[0], in[1]); }, {a, b}) == 0);
    CHECK(cuda_difference([](const auto& in) { return remainder(in[0], in[1]); }, {a, b}) == 0);
  }
  const Tensor least = Tensor::scalar(INT64_MIN, DType::int64);
  CHECK(floor_divide(least, -1).item<int64_t>() == INT64_MIN);  // wraps
  CHECK(remainder(least, -1).item<int64_t>() == 0);
  CHECK(floor_divide(Tensor::of<uint8_t>({2}, {200, 7}), 3).to_vector() ==
        std::vector<double>{66, 2});
  CHECK(error_of<ArgumentError>([&] { floor_divide(least, 0); }) ==
        "floor_divide: an integer's divisor must not be 0, got 0");
  CHECK(error_of<ArgumentError>([&] {
          remainder(least, Tensor::of<int64_t>({2}, {1, 0}));
        }) == "remainder: an integer's divisor must not be 0, got 0 at [1]");
  CHECK_THROWS_AS(floor_divide(5, Tensor::zeros({1}, DType::int32)), ArgumentError);
  if (!test::has_device()) return;
  const Tensor there = Tensor::of<int64_t>({2}, {5, -5}).to(Device::cuda);
  CHECK(floor_divide(there, there - there).to_vector() == std::vector<double>{0, 0});
  CHECK(pow(there, there).to_vector()[1] == 0);
  CHECK_THROWS_AS(floor_divide(there, 0), ArgumentError);
}

TEST_CASE("logsumexp", "[powers][cuda]") {
  const auto plain = [](const std::vector<double>& x) {
    long double sum = 0;
    for (const double v : x) sum += std::exp(static_cast<long double>(v));
    return static_cast<double>(std::log(sum));
  };
  const Tensor x = leaf({3, 4, 5}, 1, 0, 3);
  CHECK(close(logsumexp(x).item(), plain(x.to_vector()), 1e-13));
  CHECK(logsumexp(x, {1}).shape() == Shape{3, 5});
  CHECK(logsumexp(x, {1}, true).shape() == Shape{3, 1, 5});
  CHECK(test::max_difference(logsumexp(x, {0, 2}), log(sum(exp(x), {0, 2}))) < 1e-13);
  CHECK(logsumexp(Tensor::full({2}, 1e30)).item() == static_cast<float>(1e30));
  CHECK(close(logsumexp(Tensor::full({2}, -1e4)).item(), -1e4 + std::log(2.0), 1e-6));
  const Tensor rows = Tensor::of<double>({4, 3}, {-kInf, -kInf, -kInf, -kInf, 0, -kInf,  //
                                                  kInf, 1e300, kInf, NAN, 0, 1});
  const auto special = [](const auto& in) { return logsumexp(in[0], {1}); };
  const std::vector<double> z = special(std::vector{rows}).to_vector();
  CHECK(z[0] == -kInf);
  CHECK(z[1] == 0);
  CHECK(z[2] == kInf);
  CHECK(std::isnan(z[3]));
  Tensor recorded = rows.detach().clone().set_requires_grad();
  logsumexp(recorded, {1}).backward(Tensor::full({4}, 2, DType::float64));
  const std::vector<double> dx = recorded.grad().to_vector();
  CHECK(std::vector(dx.begin(), dx.begin() + 9) == std::vector<double>{0, 0, 0, 0, 2, 0, 1, 0, 1});
  CHECK(std::isnan(dx[10]));
  CHECK(cuda_difference(special, {rows.detach().set_requires_grad()}) < 1e-12);
  CHECK(logsumexp(Tensor::zeros({0})).item() == -kInf);
  CHECK(logsumexp(Tensor::zeros({2, 0}), {1}).to_vector() == std::vector<double>{-kInf, -kInf});
  CHECK(logsumexp(Tensor::zeros({0, 2}), {1}).shape() == Shape{0});
  Tensor none = Tensor::zeros({2, 0}).set_requires_grad();
  logsumexp(none, {1}).backward(Tensor::ones({2}));
  CHECK(none.grad().shape() == Shape{2, 0});
  CHECK_THROWS_AS(logsumexp(Tensor::ones({2}, DType::int64)), DtypeError);
  CHECK_THROWS_AS(logsumexp(x, {3}), RangeError);
}

TEST_CASE("l2_normalize", "[powers][cuda]") {
  const Tensor x = leaf({3, 4, 5}, 1, 0, 3);
  for (const int axis : {-1, 0, 1}) {
    const Op op = [&](const auto& in) { return l2_normalize(in[0], axis); };
    CHECK(test::max_difference(op({x}), x / sqrt(sum(x * x, {axis}, true))) < 1e-14);
  }
  Tensor zero = Tensor::zeros({2, 3}).set_requires_grad();
  const Tensor y = l2_normalize(zero, 1, 0.5);
  CHECK(y.to_vector() == std::vector<double>(6, 0.0));
  y.backward(Tensor::ones({2, 3}));
  CHECK(zero.grad().to_vector() == std::vector<double>(6, 2.0));
  for (const double eps : {0.0, 1e-60})  // 0 in float32
    CHECK(l2_normalize(Tensor::zeros({3}), 0, eps).to_vector() == std::vector<double>{0, 0, 0});
  for (const double scale : {1e-42, 1e-30, 1.0, 1e30, 1e38}) {
    const Tensor row = Tensor::of<double>({2}, {3 * scale, 2.5 * scale}).to(DType::float32);
    Tensor leaf = row.detach().clone().set_requires_grad();
    const Tensor unit = l2_normalize(leaf, 0, 0);
    const double a = row[0].item(), b = row[1].item(), length = std::hypot(a, b);
    CHECK(close(unit[0].item(), a / length, 1e-6));
    if (scale < 1e-35) continue;  // the gradient is beyond float32
    unit.backward(Tensor::of<float>({2}, {1, 0}));
    CHECK(close(leaf.grad()[0].item(), b / length * (b / length) / length, 1e-5));
  }
  CHECK(l2_normalize(Tensor::zeros({0, 3})).shape() == Shape{0, 3});
  CHECK(l2_normalize(Tensor::zeros({3, 0})).shape() == Shape{3, 0});
  CHECK_THROWS_AS(l2_normalize(x, 0, -1), ArgumentError);
  CHECK_THROWS_AS(l2_normalize(x, 0, NAN), ArgumentError);
  CHECK_THROWS_AS(l2_normalize(x, 3), RangeError);
  CHECK_THROWS_AS(l2_normalize(Tensor::ones({2}, DType::int64)), DtypeError);
}

TEST_CASE("masked_fill with a tensor hands it the gradient", "[powers]") {
  const Tensor mask = compare(leaf({3, 4}, 9).detach(), 0, Comparison::gt);
  const Op op = [&](const auto& in) {
    return masked_fill(in[0], in[0].device() == Device::cuda ? mask.to(Device::cuda) : mask, in[1]);
  };
  for (const Shape& shape : {Shape{}, Shape{1}, Shape{1, 1}})
    CHECK(op({leaf({3, 4}, 1), leaf(shape, 2)}).shape() == Shape{3, 4});
  CHECK(gradient_error(op, {leaf({3, 4}, 1).detach(), leaf({}, 2)}) < 1e-6);
  CHECK_THROWS_AS(op({leaf({3, 4}, 1), leaf({2}, 2)}), ShapeError);
  CHECK_THROWS_AS(op({leaf({3, 4}, 1), Tensor::ones({}).set_requires_grad()}), DtypeError);
  CHECK(masked_fill(leaf({3, 4}, 1), mask, Tensor::ones({})).dtype() == DType::float64);
}
