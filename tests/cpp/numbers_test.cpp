#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "catch.h"
#include "errors.h"
#include "gradcheck.h"

// Conversions keep values or refuse them; numbers beside tensors stay exact.

using namespace normlab;
using test::cuda_difference;
using test::error_of;

namespace {

constexpr int64_t kBig = (int64_t{1} << 53) + 1;  // no double
constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr Comparison kComparisons[] = {Comparison::eq, Comparison::ne, Comparison::lt,
                                       Comparison::le, Comparison::gt, Comparison::ge};

bool holds(Comparison op, long double a, long double b) {
  switch (op) {
    case Comparison::eq:
      return a == b;
    case Comparison::ne:
      return a != b;
    case Comparison::lt:
      return a < b;
    case Comparison::le:
      return a <= b;
    case Comparison::gt:
      return a > b;
    case Comparison::ge:
      return a >= b;
  }
  return false;
}

bool is_negative_zero(const Tensor& x) {
  return x.item() == 0 && std::signbit(x.item());
}

}  // namespace

TEST_CASE("a conversion refuses what the dtype cannot hold", "[numbers]") {
  const auto said = [](const Tensor& x, DType dtype) {
    return error_of<ArgumentError>([&] { x.to(dtype); });
  };
  const auto whole = [](int64_t v) { return Tensor::of<int64_t>({2, 1}, {0, v}); };
  CHECK(said(whole(300), DType::uint8) == "to: value 300 at [1, 0] does not fit uint8");
  CHECK(said(whole(-1), DType::uint8) == "to: value -1 at [1, 0] does not fit uint8");
  CHECK(said(whole(int64_t{1} << 31), DType::int32) ==
        "to: value 2147483648 at [1, 0] does not fit int32");
  CHECK(said(whole(-(int64_t{1} << 31) - 1), DType::int32) ==
        "to: value -2147483649 at [1, 0] does not fit int32");
  CHECK(said(Tensor::scalar(1e30), DType::int64) ==
        "to: value 1.0000000150474662e+30 does not fit int64");
  CHECK(said(Tensor::scalar(256.0), DType::uint8) == "to: value 256 does not fit uint8");
  CHECK(said(Tensor::scalar(-1, DType::int32), DType::uint8) == "to: value -1 does not fit uint8");
  for (const DType from : {DType::float32, DType::float64, DType::bfloat16})
    for (const DType to : {DType::uint8, DType::int32, DType::int64}) {
      CHECK_THROWS_AS(Tensor::scalar(NAN, from).to(to), ArgumentError);
      CHECK_THROWS_AS(Tensor::scalar(kInf, from).to(to), ArgumentError);
      CHECK_THROWS_AS(Tensor::scalar(-1e20, from).to(to), ArgumentError);
      CHECK(Tensor::scalar(2.75, from).to(to).item() == 2);
    }
  CHECK(Tensor::scalar(-0.5).to(DType::uint8).item() == 0);
  CHECK(Tensor::scalar(255.9).to(DType::uint8).item() == 255);
  CHECK(Tensor::of<int64_t>({4}, {0, 255, 7, 1}).to(DType::uint8).to_vector() ==
        std::vector<double>{0, 255, 7, 1});
  CHECK(Tensor::scalar(INT32_MIN, DType::int64).to(DType::int32).item<int64_t>() == INT32_MIN);
  CHECK(Tensor::scalar(1e300, DType::float64).to(DType::float32).item() == kInf);
  CHECK(Tensor::of<double>({4}, {0, -0.0, 0.25, NAN}).to(DType::boolean).to_vector() ==
        std::vector<double>{0, 0, 1, 1});
  CHECK(Tensor::of<bool>({2}, {true, false}).to(DType::uint8).to_vector() ==
        std::vector<double>{1, 0});
}

TEST_CASE("full, fill_ and arange hold what they are given", "[numbers]") {
  CHECK(Tensor::scalar(kBig, DType::int64).item<int64_t>() == kBig);
  CHECK(Tensor::scalar(INT64_MIN, DType::int64).item<int64_t>() == INT64_MIN);
  Tensor whole = Tensor::zeros({2}, DType::int64), bytes = Tensor::zeros({2}, DType::uint8),
         flags = Tensor::zeros({2}, DType::boolean);
  whole.fill_(-kBig);
  CHECK(whole.slice(0, 1).item<int64_t>() == -kBig);
  CHECK(error_of<ArgumentError>([&] { whole.fill_(2.5); }) ==
        "fill_: the value must be one that int64 holds exactly, got 2.5");
  CHECK(whole.slice(0, 1).item<int64_t>() == -kBig);
  CHECK_THROWS_AS(whole.fill_(NAN), ArgumentError);
  CHECK_THROWS_AS(whole.fill_(0x1p63), ArgumentError);
  CHECK_THROWS_AS(bytes.fill_(-1), ArgumentError);
  CHECK_THROWS_AS(bytes.fill_(256), ArgumentError);
  CHECK_THROWS_AS(flags.fill_(2), ArgumentError);
  CHECK_THROWS_AS(Tensor::full({1}, 300, DType::uint8), ArgumentError);
  CHECK_THROWS_AS(Tensor::full({1}, uint64_t{1} << 63), ArgumentError);
  bytes.fill_(255.0);
  flags.fill_(true);
  CHECK(bytes.to_vector() == std::vector<double>{255, 255});
  CHECK(flags.to_vector() == std::vector<double>{1, 1});
  CHECK(Tensor::full({1}, kBig, DType::float64).item() == 0x1p53);
  CHECK(Tensor::full({1}, 1e300).item() == kInf);
  CHECK_THROWS_AS(Tensor::arange(257, DType::uint8), ArgumentError);
  CHECK(Tensor::arange(256, DType::uint8).slice(255, 256).item() == 255);
  CHECK(Tensor::arange(3, DType::bfloat16).to_vector() == std::vector<double>{0, 1, 2});
  CHECK_THROWS_AS(Tensor::scalar(kBig, DType::int64).item<int32_t>(), ArgumentError);
}

TEST_CASE("integers compare exactly with any number", "[numbers][cuda]") {
  const std::vector<Scalar> numbers = {
      kBig,   kBig - 1, -kBig,  INT64_MAX, INT64_MIN, 0,     -1,   1,    255,
      256,    1.5,      -0.5,   0.5,       254.5,     255.5, -1e9, 1e9,  1e300,
      -1e300, 0x1p53,   0x1p63, -0x1p63,   kInf,      -kInf, NAN,  -0.0, true};
  const std::vector<Tensor> tensors = {
      Tensor::of<int64_t>({7}, {kBig, kBig - 1, -kBig, INT64_MAX, INT64_MIN, 0, 1}),
      Tensor::of<int32_t>({5}, {INT32_MAX, INT32_MIN, 0, 1, -1}),
      Tensor::of<uint8_t>({4}, {0, 1, 254, 255}), Tensor::of<bool>({2}, {false, true})};
  for (const Tensor& x : tensors)
    for (const Scalar& number : numbers)
      for (const Comparison op : kComparisons) {
        const Tensor z = compare(x, number, op);
        CAPTURE(x, number, static_cast<int>(op));
        for (int64_t i = 0; i < x.numel(); ++i) {
          const long double b = number.is_integer() ? static_cast<long double>(number.integer())
                                                    : static_cast<long double>(number.real());
          CHECK(z[i].item() == holds(op, static_cast<long double>(x[i].item<int64_t>()), b));
        }
        CHECK(cuda_difference([&](const auto& in) { return compare(in[0], number, op); }, {x}) ==
              0);
      }
  // A floating dtype rounds the number first, as NumPy and PyTorch do.
  CHECK(compare(Tensor::scalar(16777216), 16777217, Comparison::eq).item() == 1);
}

TEST_CASE("arithmetic with whole numbers is exact", "[numbers]") {
  const Tensor x = Tensor::of<int64_t>({2}, {kBig, -3});
  const auto first = [](const Tensor& z) { return z[0].item<int64_t>(); };
  CHECK(first(x + 1) == kBig + 1);
  CHECK(first(x - kBig) == 0);
  CHECK(first(kBig - x) == 0);
  CHECK(first(kBig + x) == 2 * kBig);
  CHECK(first(x * 3) == 3 * kBig);
  CHECK(first(maximum(x, kBig + 1)) == kBig + 1);
  CHECK(first(minimum(kBig - 1, x)) == kBig - 1);
  CHECK(first(floor_divide(x, 2)) == kBig / 2);
  CHECK(first(remainder(x, 1000)) == kBig % 1000);
  const Tensor mask = Tensor::of<bool>({2}, {true, false});
  CHECK(first(where(mask, kBig + 2, x)) == kBig + 2);
  CHECK(where(mask, x, kBig + 2)[1].item<int64_t>() == kBig + 2);
  CHECK(first(masked_fill(x, mask, -kBig)) == -kBig);
  CHECK(first(x - INT64_MIN) ==
        std::bit_cast<int64_t>(std::bit_cast<uint64_t>(kBig) + (1ull << 63)));
  CHECK(max(x).item<int64_t>() == kBig);
  CHECK(sum(x).item<int64_t>() == kBig - 3);
  CHECK(to_string(x).find("9007199254740993") != std::string::npos);
  for (const auto& wrong : std::vector<std::function<void()>>{
           [&] { maximum(x, 2.5); }, [&] { where(mask, x, 2.5); }, [&] { where(mask, NAN, x); },
           [&] { masked_fill(x, mask, 2.5); }, [&] { x * 0.5; }, [&] { x + 0x1p63; },
           [&] { maximum(Tensor::ones({1}, DType::uint8), 256); }})
    CHECK_THROWS_AS(wrong(), DtypeError);
  const Tensor bytes = Tensor::of<uint8_t>({2}, {1, 255});
  CHECK((bytes + -3).to_vector() == std::vector<double>{254, 252});
  CHECK((bytes - 3).to_vector() == std::vector<double>{254, 252});
  CHECK_THROWS_AS(bytes + -256, DtypeError);
}

TEST_CASE("true division and means leave the integers", "[numbers][cuda]") {
  for (const DType dtype : {DType::int32, DType::int64, DType::uint8}) {
    const Tensor x = Tensor::of<int64_t>({3}, {1, 2, 4}).to(dtype);
    CHECK((x / 2).dtype() == DType::float32);
    CHECK((x / 2).to_vector() == std::vector<double>{0.5, 1, 2});
    CHECK((1 / x).to_vector() == std::vector<double>{1, 0.5, 0.25});
    CHECK((x / x).to_vector() == std::vector<double>{1, 1, 1});
    CHECK(mean(x).dtype() == DType::float32);
    CHECK(mean(x).item() == static_cast<float>(7.0 / 3));
    CHECK(cuda_difference([](const auto& in) { return mean(in[0] / 4); }, {x}) == 0);
    CHECK(cuda_difference([](const auto& in) { return mean(in[0]); }, {x}) == 0);
  }
  CHECK(mean(Tensor::of<bool>({4}, {true, false, true, true})).item() == 0.75);
  CHECK(mean(Tensor::of<int64_t>({2, 2}, {INT64_MAX, 1, INT64_MAX, 3}), {0}).to_vector() ==
        std::vector<double>{0x1p63, 2});
  CHECK((Tensor::ones({2}, DType::int64) / 0).to_vector() == std::vector<double>{kInf, kInf});
  CHECK_THROWS_AS(Tensor::ones({1}, DType::boolean) / 2, DtypeError);
  CHECK_THROWS_AS(mean(Tensor::zeros({0}, DType::int64)), ShapeError);
}

TEST_CASE("zeros keep their rules", "[numbers]") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    const Tensor plus = Tensor::full({5}, 0.0, dtype), minus = Tensor::full({5}, -0.0, dtype);
    for (int i : {0, 4}) {  // in whole vectors and at their end
      CHECK_FALSE(is_negative_zero(sign(minus)[i]));
      CHECK_FALSE(is_negative_zero(maximum(plus, minus)[i]));
      CHECK_FALSE(is_negative_zero(maximum(minus, plus)[i]));
      CHECK(is_negative_zero(maximum(minus, minus)[i]));
      CHECK(is_negative_zero(minimum(plus, minus)[i]));
      CHECK(is_negative_zero(minimum(minus, plus)[i]));
      CHECK_FALSE(is_negative_zero(minimum(plus, plus)[i]));
      CHECK_FALSE(is_negative_zero(maximum(minus, 0.0)[i]));
      CHECK(std::isnan(maximum(minus, NAN)[i].item()));
    }
    const Tensor a = Tensor::zeros({3}, dtype);
    Tensor b = Tensor::full({3}, 1e-20, dtype).set_requires_grad();
    (a / b).backward(Tensor::full({3}, 1e30, dtype));  // dz / b alone overflows float32
    CHECK(b.grad().to_vector() == std::vector<double>{0, 0, 0});
  }
}

TEST_CASE("slopes of tanh and sigmoid keep their tails", "[numbers]") {
  std::vector<double> places;
  for (double v = -86; v <= 86; v += 0.37) places.push_back(v);
  const Tensor wide = Tensor::of({static_cast<int64_t>(places.size())}, places);
  const auto slope = [](double x) {
    const double e = std::exp(-std::abs(x));
    return e / ((1 + e) * (1 + e));
  };
  for (const DType dtype : {DType::float32, DType::float64}) {
    const double most = dtype == DType::float32 ? 1e-6 : 1e-14;
    const auto check_slope = [&](const Tensor& x, const std::vector<double>& got, bool of_tanh) {
      double worst = 0;
      for (int64_t i = 0; i < x.numel(); ++i) {
        const double v = x[i].item(), want = of_tanh ? 4 * slope(2 * v) : slope(v);
        worst = std::max(worst, std::abs(got[static_cast<size_t>(i)] / want - 1));
      }
      CHECK(worst < most);
    };
    for (const bool of_tanh : {true, false}) {
      CAPTURE(dtype, of_tanh);
      const Tensor x = (of_tanh ? wide / 2 : wide).to(dtype);
      Tensor leaf = x.detach().clone().set_requires_grad();
      sum(of_tanh ? tanh(leaf) : sigmoid(leaf)).backward();
      check_slope(x, leaf.grad().to_vector(), of_tanh);
      Tensor fused = x.detach().clone().set_requires_grad();
      const Tensor eye = Tensor::ones({1, 1}, dtype);
      sum(linear(fused.reshape({-1, 1}), eye, {}, of_tanh ? Activation::tanh : Activation::sigmoid))
          .backward();
      check_slope(x, fused.grad().to_vector(), of_tanh);
    }
  }
  Tensor nine = Tensor::scalar(9).set_requires_grad();
  tanh(nine).backward();
  CHECK(nine.grad().item() > 0);
  Tensor end = Tensor::of<float>({3}, {INFINITY, -INFINITY, 0}).set_requires_grad();
  sum(tanh(end)).backward();
  CHECK(end.grad().to_vector() == std::vector<double>{0, 0, 1});
}

TEST_CASE("tanh in float32 is right to 1.05 ulp", "[numbers]") {
  double worst = 0;
  std::vector<float> values;
  for (uint64_t bits = 0; bits < 0x41400000; bits += 5003)
    values.push_back(std::bit_cast<float>(static_cast<uint32_t>(bits)));
  const Tensor x = Tensor::of({static_cast<int64_t>(values.size())}, values), z = tanh(x);
  for (size_t i = 0; i < values.size(); ++i) {
    const double want = std::tanh(double{values[i]}), got = z.data<float>()[i];
    if (want == 0) continue;
    const double ulp = std::ldexp(1.0, std::max(-149, std::ilogb(static_cast<float>(want)) - 23));
    worst = std::max(worst, std::abs(got - want) / ulp);
  }
  CHECK(worst <= 1.05);
}

TEST_CASE("a scalar has axes 0 and -1 for what reduces", "[numbers]") {
  const Tensor x = Tensor::scalar(3.5, DType::float64);
  for (const int axis : {0, -1})
    for (const bool keepdim : {false, true}) {
      CHECK(sum(x, {axis}, keepdim).item() == 3.5);
      CHECK(mean(x, {axis}, keepdim).item() == 3.5);
      CHECK(var(x, {axis}, keepdim).item() == 0);
      CHECK(max(x, axis, keepdim).item() == 3.5);
      CHECK(argmax(x, axis, keepdim).item() == 0);
      CHECK(logsumexp(x, {axis}, keepdim).item() == 3.5);
      CHECK(max(x, axis, keepdim).shape() == Shape{});
      CHECK(softmax(x, axis).item() == 1);
      CHECK(log_softmax(x, axis).item() == 0);
      CHECK(l2_normalize(x, axis).item() == 1);
    }
  CHECK_THROWS_AS(sum(x, {1}), RangeError);
  CHECK_THROWS_AS(softmax(x, -2), RangeError);
  CHECK_THROWS_AS(sum(x, {0, -1}), ArgumentError);
  CHECK(test::gradient_error([](const auto& in) { return sum(max(in[0], 0) * in[0], {-1}); },
                             {test::leaf({}, 1)}) < 1e-6);
}

TEST_CASE("conversions and numbers on the GPU", "[numbers][cuda]") {
  if (!test::has_device()) return;
  const auto there = [](const Tensor& x, DType dtype) {
    return x.to(Device::cuda).to(dtype).to_vector();
  };
  // The nearest that fits: to refuse would mean to wait.
  CHECK(there(Tensor::of<int64_t>({4}, {300, -1, 7, INT64_MIN}), DType::uint8) ==
        std::vector<double>{255, 0, 7, 0});
  CHECK(there(Tensor::of<int64_t>({3}, {int64_t{1} << 31, INT64_MIN, -5}), DType::int32) ==
        std::vector<double>{INT32_MAX, INT32_MIN, -5});
  CHECK(there(Tensor::of<int32_t>({2}, {-1, 256}), DType::uint8) == std::vector<double>{0, 255});
  CHECK(there(Tensor::of<float>({4}, {300, -1, NAN, 2.5f}), DType::uint8) ==
        std::vector<double>{255, 0, 0, 2});
  CHECK(there(Tensor::of<bool>({2}, {true, false}), DType::int64) == std::vector<double>{1, 0});
  const Tensor x = Tensor::of<int64_t>({2}, {kBig, -3}).to(Device::cuda);
  CHECK((x + 1)[0].item<int64_t>() == kBig + 1);
  CHECK(maximum(x, kBig + 1)[1].item<int64_t>() == kBig + 1);
  CHECK(Tensor::full({1}, kBig, DType::int64, Device::cuda).item<int64_t>() == kBig);
  CHECK_THROWS_AS(Tensor::full({1}, 2.5, DType::int64, Device::cuda), ArgumentError);
  const Tensor mask = Tensor::of<bool>({2}, {true, false}).to(Device::cuda);
  CHECK(where(mask, kBig, x)[0].item<int64_t>() == kBig);
  const Tensor zeros = Tensor::of<float>({2}, {0.0f, -0.0f});
  for (const auto& op :
       std::vector<test::Op>{[](const auto& in) { return 1.0 / maximum(in[0], -0.0); },
                             [](const auto& in) { return 1.0 / minimum(in[0], 0.0); },
                             [](const auto& in) { return 1.0 / sign(in[0]); }})
    CHECK(cuda_difference(op, {zeros}) == 0);
  const Tensor tails = Tensor::of<double>({4}, {9, -30, 0.1, 80}).set_requires_grad();
  for (const auto& op : std::vector<test::Op>{
           [](const auto& in) { return tanh(in[0]); },
           [](const auto& in) { return sigmoid(in[0]); },
           [](const auto& in) {
             const Tensor one = Tensor::ones({1, 1}, in[0].dtype(), in[0].device());
             return linear(in[0].reshape({-1, 1}), one, {}, Activation::tanh) * 1e10;
           }})
    CHECK(cuda_difference(op, {tails}) < 1e-12);
}

TEST_CASE("arange counts by a step, exactly in integers", "[tensor]") {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  CHECK(Tensor::arange(5, -2, -3).to_vector() == std::vector<double>{5, 2, -1});
  CHECK(Tensor::arange(3, 3, 1).shape() == Shape{0});
  const Tensor big = Tensor::arange(kMost - 2, kMost, 1);
  CHECK(std::vector(big.data<int64_t>(), big.data<int64_t>() + 2) ==
        std::vector{kMost - 2, kMost - 1});
  CHECK(Tensor::arange(0.0, 1.0, 0.25, DType::float64).to_vector() ==
        std::vector<double>{0, 0.25, 0.5, 0.75});
  CHECK(Tensor::arange(0.0, 1.0, 0.5).dtype() == DType::float32);
  CHECK(
      error_of<ArgumentError>([] { Tensor::arange(0, 1, 0); }).starts_with("arange: start, stop"));
}
