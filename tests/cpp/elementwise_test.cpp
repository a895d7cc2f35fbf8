#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "catch.h"
#include "device.h"
#include "errors.h"
#include "op_table.h"
#include "ops/broadcast.h"
#include "threads.h"

using namespace normlab;
using namespace normlab::test;

namespace {

using TwoTensors = BinaryFunction;

/// a op b by index arithmetic, in double.
template <class F>
std::vector<double> broadcast_plainly(const Tensor& a, const Tensor& b, const F& f) {
  const Shape shape = broadcast("test", a.shape(), b.shape());
  const std::vector<double> x = a.to_vector(), y = b.to_vector();
  const auto at = [&](const Shape& s, int64_t flat) {
    int64_t offset = 0, step = 1;
    for (int i = 1; i <= shape.rank(); ++i) {
      const int64_t index = flat % shape[-i];
      flat /= shape[-i];
      if (i > s.rank()) continue;
      if (s[-i] != 1) offset += index * step;
      step *= s[-i];
    }
    return static_cast<size_t>(offset);
  };
  std::vector<double> z;
  for (int64_t i = 0; i < shape.numel(); ++i)
    z.push_back(f(x[at(a.shape(), i)], y[at(b.shape(), i)]));
  return z;
}

}  // namespace

TEST_CASE("results do not depend on the number of threads", "[elementwise]") {
  const Tensor x = normal({300, 513}, 1).set_requires_grad();
  const Tensor row = normal({513}, 2).set_requires_grad();
  const auto run = [&] {
    Tensor a = x.detach().set_requires_grad(), b = row.detach().set_requires_grad();
    const Tensor z = gelu(a * b + b);
    z.backward(x);
    return std::vector<Tensor>{z, a.grad(), b.grad()};
  };
  const auto one = with_threads(1, run), three = with_threads(3, run);
  for (size_t i = 0; i < one.size(); ++i) CHECK(same_bits(one[i], three[i]));
}

TEST_CASE("binary operations broadcast as NumPy does", "[elementwise]") {
  const DType dtype = GENERATE(DType::float32, DType::float64, DType::int32, DType::int64);
  struct Case {
    BinaryFunction op;
    double (*plain)(double, double);
    bool integers = true;
  };
  const Case cases[] = {
      {add, [](double a, double b) { return a + b; }},
      {sub, [](double a, double b) { return a - b; }},
      {mul, [](double a, double b) { return a * b; }},
      {maximum, [](double a, double b) { return std::max(a, b); }},
      {minimum, [](double a, double b) { return std::min(a, b); }},
      {div, [](double a, double b) { return a / b; }, false},
  };
  for (const auto& [sa, sb] : kBroadcasts)
    for (const Case& c : cases) {
      if (!c.integers && !is_floating(dtype)) continue;
      const Tensor a = (normal(sa, 1) * 10).to(dtype), b = (normal(sb, 2) * 10).to(dtype);
      const Tensor z = c.op(a, b);
      CAPTURE(sa.str(), sb.str());
      REQUIRE(z.shape() == broadcast("test", sa, sb));
      const std::vector<double> want = broadcast_plainly(a, b, c.plain), got = z.to_vector();
      double worst = 0;
      for (size_t i = 0; i < want.size(); ++i)
        worst = std::max(worst, std::abs(got[i] - want[i]) / std::max(1.0, std::abs(want[i])));
      CHECK(worst <= (dtype == DType::float32 ? 6e-8 : 0));
    }
}

TEST_CASE("comparisons broadcast, in every dtype", "[elementwise]") {
  const DType dtype = GENERATE(DType::float32, DType::float64, DType::int32, DType::int64,
                               DType::uint8, DType::boolean);
  double (*plain[])(double, double) = {[](double a, double b) -> double { return a == b; },
                                       [](double a, double b) -> double { return a != b; },
                                       [](double a, double b) -> double { return a < b; },
                                       [](double a, double b) -> double { return a <= b; },
                                       [](double a, double b) -> double { return a > b; },
                                       [](double a, double b) -> double { return a >= b; }};
  for (const auto& [sa, sb] : kBroadcasts) {
    const Tensor a = abs(normal(sa, 1) * 2).to(dtype), b = abs(normal(sb, 2) * 2).to(dtype);
    for (int op = 0; op < 6; ++op) {
      const Tensor z = compare(a, b, static_cast<Comparison>(op));
      CHECK(z.dtype() == DType::boolean);
      CHECK(z.to_vector() == broadcast_plainly(a, b, plain[op]));
    }
    CHECK(logical_not(a).to_vector() == compare(a, 0.0, Comparison::eq).to_vector());
  }
}

TEST_CASE("NaN and infinity keep their rules", "[elementwise]") {
  const Tensor nan = Tensor::scalar(NAN), one = Tensor::scalar(1);
  for (const TwoTensors op :
       {TwoTensors{maximum}, TwoTensors{minimum}, TwoTensors{add}, TwoTensors{mul}}) {
    CHECK(std::isnan(op(nan, one).item()));
    CHECK(std::isnan(op(one, nan).item()));
  }
  CHECK(std::isnan(relu(nan).item()));
  CHECK(std::isnan(sign(nan).item()));
  CHECK(compare(nan, nan, Comparison::eq).item() == 0);
  CHECK(compare(nan, nan, Comparison::ne).item() == 1);
  CHECK(compare(nan, 0.0, Comparison::le).item() == 0);
  CHECK((one / 0.0).item() == INFINITY);
  CHECK((-one / 0.0).item() == -INFINITY);
  CHECK(gelu(Tensor::scalar(-INFINITY)).item() == 0);
  CHECK(gelu(Tensor::scalar(INFINITY)).item() == INFINITY);
  CHECK(abs(Tensor::scalar(-0.0)).item() == 0);
  CHECK_FALSE(std::signbit(abs(Tensor::scalar(-0.0)).item()));
}

TEST_CASE("a scalar takes the tensor's dtype", "[elementwise]") {
  const DType dtype =
      GENERATE(DType::float32, DType::float64, DType::int32, DType::int64, DType::uint8);
  const Tensor x = Tensor::arange(5).to(dtype) + 3.0;
  CHECK(x.dtype() == dtype);
  CHECK(x.to_vector() == std::vector<double>{3, 4, 5, 6, 7});
  CHECK((x - 3.0).to_vector() == std::vector<double>{0, 1, 2, 3, 4});
  CHECK((2.0 * x).to_vector() == std::vector<double>{6, 8, 10, 12, 14});
  CHECK((10.0 - x).to_vector() == std::vector<double>{7, 6, 5, 4, 3});
  CHECK(compare(x, 5.0, Comparison::lt).to_vector() == std::vector<double>{1, 1, 0, 0, 0});
  if (is_floating(dtype)) {
    CHECK((x / 2.0).to_vector() == std::vector<double>{1.5, 2, 2.5, 3, 3.5});
    CHECK((1.0 / (x - 1.0)).to_vector()[2] == 0.25);
  }
}

TEST_CASE("division by a scalar is rounded once", "[elementwise]") {
  const Tensor x = normal({100}, 1);
  const Tensor z = x / 3.0;
  for (int64_t i = 0; i < 100; ++i) CHECK(z.data<float>()[i] == x.data<float>()[i] / 3.0f);
}

TEST_CASE("integers wrap around", "[elementwise]") {
  const Tensor big = Tensor::of<int32_t>({2}, {INT32_MAX, INT32_MIN});
  CHECK((big + 1.0).to_vector() == std::vector<double>{INT32_MIN, INT32_MIN + 1.0});
  CHECK((big * 2.0).to_vector() == std::vector<double>{-2, 0});
  CHECK(neg(big).to_vector() == std::vector<double>{-double{INT32_MAX}, INT32_MIN});
  CHECK(abs(big).to_vector() == std::vector<double>{INT32_MAX, INT32_MIN});
  const Tensor bytes = Tensor::of<uint8_t>({2}, {1, 255});
  CHECK((bytes - 3.0).to_vector() == std::vector<double>{254, 252});
  CHECK((bytes * bytes).to_vector() == std::vector<double>{1, 1});
  CHECK(neg(bytes).to_vector() == std::vector<double>{255, 1});
}

TEST_CASE("equal operands: the gradient of maximum goes to the first", "[elementwise][grad]") {
  for (const TwoTensors op : {TwoTensors{maximum}, TwoTensors{minimum}}) {
    Tensor a = Tensor::ones({3}).set_requires_grad(), b = Tensor::ones({3}).set_requires_grad();
    op(a, b).backward(Tensor::ones({3}));
    CHECK(a.grad().to_vector() == std::vector<double>{1, 1, 1});
    CHECK(b.grad().to_vector() == std::vector<double>{0, 0, 0});
  }
}

TEST_CASE("one gradient handed to two operands stays two gradients", "[elementwise][grad]") {
  Tensor a = Tensor::ones({3}).set_requires_grad(), b = Tensor::ones({3}).set_requires_grad();
  const Tensor dz = Tensor::ones({3});
  (a + b).backward(dz);
  (a + a).backward(dz);
  CHECK(a.grad().to_vector() == std::vector<double>{3, 3, 3});
  CHECK(b.grad().to_vector() == std::vector<double>{1, 1, 1});
  CHECK(dz.to_vector() == std::vector<double>{1, 1, 1});
}

TEST_CASE("only what a derivative reads is kept", "[elementwise][grad]") {
  Tensor a = Tensor::ones({3}).set_requires_grad(), b = Tensor::ones({3}).set_requires_grad();
  const Tensor sum = a + b, product = a * b;
  a.fill_(2);
  CHECK_NOTHROW(sum.backward(Tensor::ones({3})));
  CHECK_THROWS_AS(product.backward(Tensor::ones({3})), GradError);
}

TEST_CASE("sign, floor and round have no derivative", "[elementwise][grad]") {
  for (const auto& op : {sign, floor, round}) {
    const Tensor z = op(Tensor::ones({2}).set_requires_grad());
    CHECK_THROWS_AS(z.backward(Tensor::ones({2})), GradError);
  }
  CHECK_FALSE(compare(Tensor::ones({2}).set_requires_grad(), 0.0, Comparison::gt).requires_grad());
}

TEST_CASE("elementwise errors say what came", "[elementwise]") {
  const Tensor f = Tensor::ones({2, 3}), i = Tensor::ones({2, 3}, DType::int32),
               flag = Tensor::ones({2, 3}, DType::boolean);
  CHECK_THROWS_AS(f + Tensor::ones({2}), ShapeError);
  CHECK(
      error_of<ShapeError>([&] { f + Tensor::ones({2}); }) ==
      "add: shapes [2, 3] and [2] do not broadcast: their lengths 3 and 2 on axis -1 must be equal "
      "or one of them 1");
  CHECK_THROWS_AS(f * i, DtypeError);
  CHECK(error_of<DtypeError>([&] { f* i; }) ==
        "mul: operands must have one dtype, got float32 and int32; to('float32') converts");
  CHECK_THROWS_AS(exp(i), DtypeError);
  CHECK(error_of<DtypeError>([&] { exp(i); }) ==
        "exp: needs float32, float64 or bfloat16, got int32; to('float32') converts");
  CHECK_THROWS_AS(flag + flag, DtypeError);
  CHECK_THROWS_AS(flag * 3.0, DtypeError);
  CHECK(error_of<DtypeError>([&] { flag + flag; }) ==
        "add: bool has no arithmetic; to('int32') or to('float32') converts");
  CHECK_THROWS_AS(neg(flag), DtypeError);
  CHECK_THROWS_AS(i + 2.5, DtypeError);
  CHECK(error_of<DtypeError>([&] { i + 2.5; }) ==
        "add: the scalar must be a number that int32 holds, got 2.5; to('float32') converts");
  CHECK_THROWS_AS(i + 3e9, DtypeError);
  CHECK_THROWS_AS(i * NAN, DtypeError);
  CHECK_THROWS_AS(compare(f, i, Comparison::lt), DtypeError);
  CHECK_THROWS_AS(Tensor() + f, ArgumentError);
  CHECK_THROWS_AS(exp(Tensor()), ArgumentError);
}

TEST_CASE("sum_to undoes broadcasting", "[elementwise]") {
  const Tensor x = normal({3, 4, 5}, 1);
  CHECK(sum_to(x, {3, 4, 5}).is(x));
  CHECK(max_difference(sum_to(x, {5}), sum(x, {0, 1})) == 0);
  CHECK(max_difference(sum_to(x, {4, 1}), sum(x, {0, 2}).reshape({4, 1})) == 0);
  CHECK(max_difference(sum_to(x, {}), sum(x)) == 0);
  CHECK(sum_to(Tensor::ones({0, 3}), {3}).to_vector() == std::vector<double>{0, 0, 0});
}

TEST_CASE("numbers go to the GPU with the launch", "[elementwise][cuda]") {
  const Tensor bytes = Tensor::of<uint8_t>({4}, {0, 1, 200, 255});
  CHECK(cuda_difference([](const std::vector<Tensor>& in) { return in[0] - 3; }, {bytes}) == 0);
  const Tensor large = Tensor::of<int64_t>({2}, {int64_t{1} << 60, -5});
  CHECK(cuda_difference([](const std::vector<Tensor>& in) { return in[0] * -7; }, {large}) == 0);
  if (!test::has_device()) return;
  const Tensor x = Tensor::ones({1000}, DType::float32, Device::cuda);
  const int64_t before = cuda::memory_stats().in_use;
  const Tensor y = x + x;
  const int64_t of_result = cuda::memory_stats().in_use - before;
  const int64_t peak = cuda::memory_stats().peak;
  cuda::empty_cache();
  const Tensor z = x * 2.0;
  CHECK(cuda::memory_stats().in_use == before + 2 * of_result);
  CHECK(cuda::memory_stats().peak <= std::max(peak, before + 2 * of_result));
}

TEST_CASE("comparisons on the GPU", "[elementwise][cuda]") {
  for (const Comparison c : {Comparison::eq, Comparison::ne, Comparison::lt, Comparison::le,
                             Comparison::gt, Comparison::ge}) {
    const Op op = [=](const std::vector<Tensor>& in) { return compare(in[0], in[1], c); };
    const Op with_one = [=](const std::vector<Tensor>& in) { return compare(in[0], 1, c); };
    CHECK(cuda_difference(op, {special(), special().reshape({22, 1})}) == 0);
    CHECK(cuda_difference(with_one, {special()}, DType::float32) == 0);
    for (const DType dtype : {DType::int32, DType::int64, DType::uint8, DType::boolean}) {
      const Tensor a = remainder(Tensor::arange(1028), 251).to(dtype).reshape({4, 257});
      CHECK(cuda_difference(op, {a, a.slice(1, 2)}) == 0);
      CHECK(cuda_difference(with_one, {a}) == 0);
    }
  }
  const Op none = [](const std::vector<Tensor>& in) { return logical_not(in[0]); };
  CHECK(cuda_difference(none, {special()}) == 0);
  CHECK(cuda_difference(none, {Tensor::of<bool>({3}, {true, false, true})}) == 0);
}

TEST_CASE("operands on two devices are refused", "[elementwise][cuda]") {
  if (!test::has_device()) return;
  const Tensor here = Tensor::ones({3}), there = here.to(Device::cuda);
  CHECK(error_of<DeviceError>([&] { add(here, there); }) ==
        "add: operands must be on one device, got cpu and cuda");
  CHECK(error_of<DeviceError>([&] { compare(there, Tensor::scalar(1), Comparison::lt); }) ==
        "compare: operands must be on one device, got cuda and cpu");
  CHECK(error_of<DtypeError>([&] { exp(there.to(DType::int32)); }) ==
        error_of<DtypeError>([&] { exp(here.to(DType::int32)); }));
}
