#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "catch.h"
#include "errors.h"
#include "gradcheck.h"
#include "ops/activation.h"
#include "ops/broadcast.h"

using namespace normlab;
using test::cuda_difference;
using test::error_of;
using test::gradient_error;
using test::leaf;
using test::max_difference;
using test::Op;

namespace {

constexpr float kInf32 = std::numeric_limits<float>::infinity();
constexpr float kNan32 = std::numeric_limits<float>::quiet_NaN();

using TwoTensors = Tensor (*)(const Tensor&, const Tensor&);

struct UnaryCase {
  const char* name;
  Tensor (*op)(const Tensor&);
  double (*plain)(double);
  bool positive = false;  ///< defined for x > 0 only
  bool smooth = true;     ///< has a derivative
};
double plain_sigmoid(double x) {
  return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x));
}
double plain_gelu(double x) {
  return x * 0.5 * std::erfc(-x * std::sqrt(0.5));
}
double plain_relu(double x) {
  return x > 0 ? x : 0;
}
double plain_sign(double x) {
  return (x > 0) - (x < 0);
}

const UnaryCase kCases[] = {
    {"neg", neg, [](double x) { return -x; }},
    {"abs", abs, [](double x) { return std::abs(x); }},
    {"exp", exp, [](double x) { return std::exp(x); }},
    {"log", log, [](double x) { return std::log(x); }, true},
    {"sqrt", sqrt, [](double x) { return std::sqrt(x); }, true},
    {"tanh", tanh, [](double x) { return std::tanh(x); }},
    {"sigmoid", sigmoid, plain_sigmoid},
    {"relu", relu, plain_relu},
    {"gelu", gelu, plain_gelu},
    {"sign", sign, plain_sign, false, false},
    {"floor", floor, [](double x) { return std::floor(x); }, false, false},
    {"round", round, [](double x) { return std::nearbyint(x); }, false, false},
};
const UnaryCase& unary_case(const std::string& name) {
  for (const UnaryCase& c : kCases)
    if (name == c.name) return c;
  throw std::logic_error(name);
}

/// |z - exact| in units of the last place of the float nearest to exact.
double ulps(float z, double exact) {
  const float nearest = static_cast<float>(exact);
  if (std::isnan(z) || std::isnan(nearest)) return std::isnan(z) == std::isnan(nearest) ? 0 : 1e9;
  if (std::isinf(z) || std::isinf(nearest)) return z == nearest ? 0 : 1e9;
  if (z == 0 && nearest == 0) return 0;
  const int exponent = nearest == 0 ? -149 : std::max(-149, std::ilogb(nearest) - 23);
  return std::abs(z - exact) / std::ldexp(1.0, exponent);
}

/// Every `step`-th of all float32 bit patterns: all magnitudes, both signs, infinities and NaNs.
Tensor all_floats(uint32_t step) {
  std::vector<float> values = {0.0f,   -0.0f,    kInf32,  -kInf32, kNan32,    88.72284f,
                               88.73f, -103.97f, -104.1f, -87.4f,  1e-45f,    -1e-45f,
                               1.0f,   0.92f,    9.1f,    3.95f,   0.7071068f};
  for (uint64_t bits = 0; bits < (1ull << 32); bits += step)
    values.push_back(std::bit_cast<float>(static_cast<uint32_t>(bits)));
  return Tensor::of({static_cast<int64_t>(values.size())}, values);
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         std::memcmp(a.raw(), b.raw(), static_cast<size_t>(a.nbytes())) == 0;
}

Tensor normal(const Shape& shape, uint64_t seed, DType dtype = DType::float32) {
  Generator generator(seed);
  return randn(shape, 0, 1, dtype, generator);
}

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

const std::vector<std::pair<Shape, Shape>> kBroadcasts = {
    {{}, {}},
    {{5}, {}},
    {{}, {5}},
    {{1}, {1, 1}},
    {{0}, {1}},
    {{3, 0}, {1, 1}},
    {{0, 4}, {4}},
    {{33}, {33}},
    {{4, 7}, {7}},
    {{4, 1}, {7}},
    {{1, 4, 1}, {3, 1, 7}},
    {{3, 513}, {513}},
    {{3, 513}, {3, 1}},
    {{513}, {6, 1}},
    {{2, 3, 4, 5}, {3, 1, 5}},
    {{2, 1, 4, 1}, {3, 1, 5}},
    {{2, 1, 300}, {2, 5, 1}},
    {{3, 2, 2, 2, 2, 2, 2, 2}, {2, 1, 2, 1, 2, 1, 2}},
    {{1100, 3}, {1, 3}},
    {{1100, 3}, {1100, 1}},
    {{2, 5000}, {2, 5000}},
    {{2, 9000}, {1, 9000}},
};

}  // namespace

TEST_CASE("float32 functions are right to a few ulp everywhere", "[elementwise]") {
  const auto& c = unary_case(GENERATE("exp", "log", "tanh", "sigmoid", "sqrt", "neg", "abs"));
  const Tensor x = all_floats(30011);
  const Tensor z = c.op(x);
  double worst = 0;
  float at = 0;
  for (int64_t i = 0; i < x.numel(); ++i) {
    const float value = x.data<float>()[i];
    const double error = ulps(z.data<float>()[i], c.plain(value));
    if (error > worst) worst = error, at = value;
  }
  CAPTURE(c.name, at);
  CHECK(worst <= 3);
}

TEST_CASE("gelu, floor, round, sign, relu in float32", "[elementwise]") {
  const auto& c = unary_case(GENERATE("gelu", "floor", "round", "sign", "relu"));
  const Tensor x = all_floats(300007);
  const Tensor z = c.op(x);
  double worst = 0;
  for (int64_t i = 0; i < x.numel(); ++i) {
    const double value = x.data<float>()[i], got = z.data<float>()[i];
    // gelu(-infinity) is the limit 0, which the plain formula misses; NaN stays.
    const double want = std::isnan(value)                  ? value
                        : value == -kInf32 && c.op == gelu ? 0
                                                           : c.plain(value);
    const bool same = got == want || (std::isnan(got) && std::isnan(want));
    const double error = same ? 0 : std::abs(got - want) / std::max(1.0, std::abs(want));
    worst = std::isnan(error) ? INFINITY : std::max(worst, error);
  }
  CAPTURE(c.name);
  CHECK(worst < 5e-7);
}

TEST_CASE("unary operations in float64", "[elementwise]") {
  const Tensor x = normal({513}, 3, DType::float64);
  for (const UnaryCase& c : kCases) {
    const Tensor z = c.op(c.positive ? abs(x) : x);
    double worst = 0;
    for (int64_t i = 0; i < x.numel(); ++i) {
      const double value = x.data<double>()[i];
      const double want = c.plain(c.positive ? std::abs(value) : value);
      worst = std::max(worst, std::abs(z.data<double>()[i] - want));
    }
    CAPTURE(c.name);
    CHECK(worst < 1e-14);
  }
  CHECK(gelu(Tensor::scalar(-INFINITY, DType::float64)).item() == 0);
}

TEST_CASE("an element's value does not depend on its place", "[elementwise]") {
  const Tensor x = abs(normal({100}, 1));
  for (const UnaryCase& c : kCases) {
    const Tensor whole = c.op(x);
    bool same = true;
    for (int64_t begin = 0; begin < 40; ++begin)
      for (int64_t end = begin + 1; end < 100; end += 7)
        same = same && same_bits(c.op(x.slice(begin, end)), whole.slice(begin, end));
    CAPTURE(c.name);
    CHECK(same);
  }
}

TEST_CASE("results do not depend on the number of threads", "[elementwise]") {
  const int before = num_threads();
  const Tensor x = normal({300, 513}, 1).set_requires_grad();
  const Tensor row = normal({513}, 2).set_requires_grad();
  const auto run = [&](int threads) {
    set_num_threads(threads);
    Tensor a = x.detach().set_requires_grad(), b = row.detach().set_requires_grad();
    const Tensor z = gelu(a * b + b);
    z.backward(x);
    return std::vector<Tensor>{z, a.grad(), b.grad()};
  };
  const auto one = run(1), three = run(3);
  for (size_t i = 0; i < one.size(); ++i) CHECK(same_bits(one[i], three[i]));
  set_num_threads(before);
}

TEST_CASE("binary operations broadcast as NumPy does", "[elementwise]") {
  const DType dtype = GENERATE(DType::float32, DType::float64, DType::int32, DType::int64);
  struct Case {
    Tensor (*op)(const Tensor&, const Tensor&);
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

TEST_CASE("power", "[elementwise]") {
  for (const double exponent : {0.0, 1.0, 2.0, 3.0, -1.0, -2.0, 0.5, 1.7}) {
    const Tensor x = abs(normal({37}, 1)) + 0.1;
    const Tensor z = pow(x, exponent);
    double worst = 0;
    for (int64_t i = 0; i < 37; ++i)
      worst = std::max(
          worst, ulps(z.data<float>()[i],
                      std::pow(double{x.data<float>()[i]}, double{static_cast<float>(exponent)})));
    CAPTURE(exponent);
    CHECK(worst <= 1.5);
    const Tensor y = leaf({3, 5}, 2);
    const test::Op positive = [&](const auto& in) { return pow(abs(in[0]) + 0.5, exponent); };
    CHECK(gradient_error(positive, {y}) < 1e-6);
  }
  CHECK(pow(Tensor::scalar(-2), 3).item() == -8);
  Tensor zero = Tensor::scalar(0).set_requires_grad();
  pow(zero, 0).backward();
  CHECK(zero.grad().item() == 0);
  pow(zero, 1).backward();
  CHECK(zero.grad().item() == 1);
}

TEST_CASE("gradients of unary operations", "[elementwise][grad]") {
  const Shape shape = GENERATE(Shape{}, Shape{0, 3}, Shape{1}, Shape{3, 5}, Shape{37});
  const Tensor x = leaf(shape, 7);
  for (const UnaryCase& c : kCases) {
    if (!c.smooth) continue;
    const test::Op op = [&](const auto& in) {
      return c.op(c.positive ? in[0] * in[0] + 0.3 : in[0]);
    };
    CAPTURE(c.name, shape.str());
    CHECK(gradient_error(op, {x}) < 1e-6);
  }
}

TEST_CASE("gradients of binary operations are summed over broadcast axes", "[elementwise][grad]") {
  const auto [sa, sb] =
      GENERATE(std::pair{Shape{4, 5}, Shape{4, 5}}, std::pair{Shape{4, 5}, Shape{5}},
               std::pair{Shape{4, 1}, Shape{3}}, std::pair{Shape{}, Shape{2, 3}},
               std::pair{Shape{2, 1, 3}, Shape{4, 1}}, std::pair{Shape{0, 3}, Shape{3}},
               std::pair{Shape{1, 3}, Shape{3}});
  using Binary = Tensor (*)(const Tensor&, const Tensor&);
  for (const Binary op :
       {Binary{add}, Binary{sub}, Binary{mul}, Binary{div}, Binary{maximum}, Binary{minimum}}) {
    const test::Op f = [&](const auto& in) {
      return op(in[0], op == Binary{div} ? in[1] + 4.0 : in[1]);
    };
    CAPTURE(sa.str(), sb.str());
    CHECK(gradient_error(f, {leaf(sa, 1), leaf(sb, 2)}) < 1e-6);
    CHECK(gradient_error(f, {leaf(sa, 1), leaf(sb, 2).detach()}) < 1e-6);
    CHECK(gradient_error(f, {leaf(sa, 1).detach(), leaf(sb, 2)}) < 1e-6);
  }
}

TEST_CASE("gradients with scalars", "[elementwise][grad]") {
  const test::Op f = [](const auto& in) {
    return 2.0 / (in[0] * in[0] + 1.0) + (3.0 - in[0]) * 0.5 - in[0] / 7.0;
  };
  CHECK(gradient_error(f, {leaf({3, 4}, 1)}) < 1e-6);
}

TEST_CASE("float32 gradients agree with float64", "[elementwise][grad]") {
  const Tensor x = abs(normal({67}, 1, DType::float64)) + 0.2, w = normal({67}, 2, DType::float64);
  for (const UnaryCase& c : kCases) {
    if (!c.smooth) continue;
    Tensor wide = x.detach().set_requires_grad(), narrow = x.to(DType::float32).set_requires_grad();
    c.op(wide).backward(w);
    c.op(narrow).backward(w.to(DType::float32));
    CAPTURE(c.name);
    CHECK(max_difference(wide.grad(), narrow.grad()) < 2e-6 * 5);
  }
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
        "exp: needs float32 or float64, got int32; to('float32') converts");
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

TEST_CASE("activations on plain arrays agree with the operations", "[elementwise]") {
  const auto activation = GENERATE(Activation::none, Activation::relu, Activation::gelu,
                                   Activation::tanh, Activation::sigmoid);
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const int64_t rows = GENERATE(0, 1, 3, 700), width = GENERATE(1, 19, 513);
  const auto op = [&](const Tensor& x) {
    switch (activation) {
      case Activation::relu:
        return relu(x);
      case Activation::gelu:
        return gelu(x);
      case Activation::tanh:
        return tanh(x);
      case Activation::sigmoid:
        return sigmoid(x);
      default:
        return x * 1.0;
    }
  };
  const Tensor x = normal({rows, width}, 1, dtype), bias = normal({width}, 2, dtype);
  const Tensor dz = normal({rows, width}, 3, dtype);
  Tensor before = (x + bias).set_requires_grad();
  const Tensor want = op(before);
  want.backward(dz);

  Tensor z = x.clone(), kept = Tensor::empty(x.shape(), dtype),
         dx = Tensor::empty(x.shape(), dtype);
  const auto run = [&](auto type) {
    using T = decltype(type);
    add_bias_and_activate(z.data<T>(), bias.data<T>(), kept.data<T>(), rows, width, activation);
    activation_backward(dz.data<T>(), (keeps_input(activation) ? kept : z).data<T>(), dx.data<T>(),
                        rows * width, activation);
  };
  dtype == DType::float32 ? run(float{}) : run(double{});
  CHECK(same_bits(z, want));
  CHECK(same_bits(kept, before));
  CHECK(same_bits(dx, before.grad()));
}

TEST_CASE("activations have names", "[elementwise]") {
  for (const char* name : {"none", "relu", "gelu", "tanh", "sigmoid"})
    CHECK(name_of(activation_named(name)) == std::string(name));
  CHECK_THROWS_AS(activation_named("swish"), ArgumentError);
  CHECK(error_of<ArgumentError>([] { activation_named("swish"); }) ==
        "activation: must be 'none', 'relu', 'gelu', 'tanh' or 'sigmoid', got 'swish'");
}

namespace {

/// Ordinary numbers, and what float64 and float32 treat specially.
Tensor special(DType dtype = DType::float64) {
  constexpr double kInf = std::numeric_limits<double>::infinity(), kNan = NAN;
  return Tensor::of<double>({22},
                            {0.0, -0.0, 1,    -1,    0.5,  -0.5,  1.5,    -1.5, 2.5,   -2.5, 3,
                             -3,  1e-8, 40.5, -40.5, 87.0, -87.0, 1.0e30, kInf, -kInf, kNan, 7})
      .to(dtype);
}

Tensor square_of(const Tensor& x) {
  return pow(x, 2);
}
Tensor cube_of(const Tensor& x) {
  return pow(x, 3);
}

}  // namespace

TEST_CASE("unary operations on the GPU", "[elementwise][cuda]") {
  std::vector<UnaryCase> ops(std::begin(kCases), std::end(kCases));
  ops.push_back({"square", square_of, nullptr});
  ops.push_back({"cube", cube_of, nullptr});
  for (const UnaryCase& c : ops) {
    CAPTURE(std::string(c.name));
    const Op op = [&](const std::vector<Tensor>& in) { return c.op(in[0]); };
    const Op of_slice = [&](const std::vector<Tensor>& in) {
      return c.op(in[0].slice(1, in[0].size(0)));
    };
    for (const int64_t n : {0, 1, 3, 513, 4096}) {
      Tensor x = c.positive ? rand({n + 1}, 0.1, 3, DType::float64, default_generator())
                            : leaf({n + 1}, 5);
      if (c.smooth)
        x.set_requires_grad();
      else
        x = x.detach();
      CHECK(cuda_difference(of_slice, {x}) < 1e-12);
      CHECK(cuda_difference(op, {x}, DType::float32) < 1e-5);
    }
    CHECK(cuda_difference(op, {special()}) < 1e-12);
    CHECK(cuda_difference(op, {special()}, DType::float32) < 1e-5);
    if (c.smooth) CHECK(cuda_difference(op, {special().set_requires_grad()}) < 1e-12);
  }
  const Op many = [](const std::vector<Tensor>& in) { return tanh(in[0]); };  // threads go round
  CHECK(cuda_difference(many, {leaf({300001}, 6)}, DType::float32) < 1e-5);
  for (const DType dtype : {DType::int32, DType::int64, DType::uint8}) {
    const Tensor x = Tensor::of<int64_t>({5}, {0, 1, 127, 200, 255}).to(dtype);
    CHECK(cuda_difference([](const std::vector<Tensor>& in) { return neg(in[0]); }, {x}) == 0);
    CHECK(cuda_difference([](const std::vector<Tensor>& in) { return abs(neg(in[0])); }, {x}) == 0);
  }
}

TEST_CASE("binary operations on the GPU broadcast as on the CPU", "[elementwise][cuda]") {
  const std::vector<Tensor (*)(const Tensor&, const Tensor&)> ops = {add, sub,     mul,
                                                                     div, maximum, minimum};
  std::vector<std::pair<Shape, Shape>> shapes = kBroadcasts;
  shapes.insert(shapes.end(),
                {{{6, 64}, {64}}, {{6, 64}, {6, 1}}, {{5, 1, 8}, {1, 3, 8}}, {{3, 70000}, {1}}});
  for (size_t k = 0; k < ops.size(); ++k) {
    const Op op = [&](const std::vector<Tensor>& in) { return ops[k](in[0], in[1]); };
    for (const auto& [a, b] : shapes) {
      CAPTURE(k, a, b);
      const std::vector<Tensor> inputs = {leaf(a, 1), leaf(b, 2, 3, 0.5)};
      CHECK(cuda_difference(op, inputs) < 1e-12);
      CHECK(cuda_difference(op, inputs, DType::float32) < 1e-4);
      if (a.numel() > 1000) continue;
      for (const DType dtype : {DType::int32, DType::int64, DType::uint8})
        if (k != 3)
          CHECK(cuda_difference(
                    op, {mul(dtype == DType::uint8 ? abs(leaf(a, 1)) : leaf(a, 1), 9).to(dtype),
                         mul(abs(leaf(b, 2)), 9).to(dtype)}) == 0);
    }
    // All pairs of special values; memory that vectors cannot be loaded from.
    const Tensor x = special(), y = special().reshape({22, 1});
    CHECK(cuda_difference(op, {x, y}) < 1e-12);
    CHECK(cuda_difference(op, {special().set_requires_grad(), y}) < 1e-12);
    CHECK(cuda_difference(op, {x, special().reshape({22, 1}).set_requires_grad()}) < 1e-12);
    const Op of_slices = [&](const std::vector<Tensor>& in) {
      return ops[k](in[0].slice(1, 513), in[1].slice(2, 514));
    };
    CHECK(cuda_difference(of_slices, {leaf({513}, 3), leaf({514}, 4, 3, 0.5)}, DType::float32) <
          1e-5);
    const Op of_rows = [&](const std::vector<Tensor>& in) {
      return ops[k](in[0].slice(1, 257).reshape({4, 64}), in[1].slice(1, 65));
    };
    CHECK(cuda_difference(of_rows, {leaf({257}, 3), leaf({65}, 4, 3, 0.5)}) < 1e-12);
  }
}

TEST_CASE("numbers go to the GPU with the launch", "[elementwise][cuda]") {
  const std::vector<Op> ops = {
      [](const std::vector<Tensor>& in) { return in[0] * 2.5; },
      [](const std::vector<Tensor>& in) { return in[0] + 0.1; },
      [](const std::vector<Tensor>& in) { return 3.0 - in[0]; },
      [](const std::vector<Tensor>& in) { return in[0] / 3.0; },
      [](const std::vector<Tensor>& in) { return 2.0 / in[0]; },
      [](const std::vector<Tensor>& in) { return pow(in[0], 2.5); },
      [](const std::vector<Tensor>& in) { return pow(in[0], 0); },
      [](const std::vector<Tensor>& in) { return pow(in[0], -1); },
  };
  for (const Op& op : ops) {
    CHECK(
        cuda_difference(
            op, {rand({3, 171}, 0.5, 2, DType::float64, default_generator()).set_requires_grad()}) <
        1e-12);
    CHECK(cuda_difference(
              op, {rand({7}, 0.5, 2, DType::float64, default_generator()).set_requires_grad()},
              DType::float32) < 1e-5);
  }
  const Tensor bytes = Tensor::of<uint8_t>({4}, {0, 1, 200, 255});
  CHECK(cuda_difference([](const std::vector<Tensor>& in) { return in[0] - 3; }, {bytes}) == 0);
  const Tensor large = Tensor::of<int64_t>({2}, {int64_t{1} << 60, -5});
  CHECK(cuda_difference([](const std::vector<Tensor>& in) { return in[0] * -7; }, {large}) == 0);
  if (!cuda::is_available()) return;
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
  if (!cuda::is_available()) return;
  const Tensor here = Tensor::ones({3}), there = here.to(Device::cuda);
  CHECK(error_of<DeviceError>([&] { add(here, there); }) ==
        "add: operands must be on one device, got cpu and cuda");
  CHECK(error_of<DeviceError>([&] { compare(there, Tensor::scalar(1), Comparison::lt); }) ==
        "compare: operands must be on one device, got cuda and cpu");
  CHECK(error_of<DtypeError>([&] { exp(there.to(DType::int32)); }) ==
        error_of<DtypeError>([&] { exp(here.to(DType::int32)); }));
}
