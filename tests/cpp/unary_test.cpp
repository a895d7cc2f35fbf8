#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "catch.h"
#include "errors.h"
#include "op_table.h"
#include "ops/activation.h"

// Functions of one element: their values; the rest is in op_table.h.

using namespace normlab;
using namespace normlab::test;

namespace {

constexpr float kInf32 = std::numeric_limits<float>::infinity();
constexpr float kNan32 = std::numeric_limits<float>::quiet_NaN();

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

}  // namespace

TEST_CASE("float32 functions are right to a few ulp everywhere", "[elementwise]") {
  const Tensor x = all_floats(30011);
  for (const UnaryRow& row : kUnaryRows) {
    const Tensor z = row.op(x);
    double worst = 0;
    float at = 0;
    for (int64_t i = 0; i < x.numel(); ++i) {
      const float value = x.data<float>()[i];
      const double error = ulps(z.data<float>()[i], row.formula(value));
      if (error > worst) worst = error, at = value;
    }
    CAPTURE(row.name, at);
    CHECK(worst <= row.ulps);
  }
}

TEST_CASE("gelu in float32", "[elementwise]") {
  const Tensor x = all_floats(300007), z = gelu(x);
  double worst = 0;
  for (int64_t i = 0; i < x.numel(); ++i) {
    const double value = x.data<float>()[i], got = z.data<float>()[i];
    const double want = value == -INFINITY ? 0 : value * 0.5 * std::erfc(-value * std::sqrt(0.5));
    const bool same = got == want || (std::isnan(got) && std::isnan(want));
    const double error = same ? 0 : std::abs(got - want) / std::max(1.0, std::abs(want));
    worst = std::isnan(error) ? INFINITY : std::max(worst, error);
  }
  CHECK(worst < 5e-7);
}

TEST_CASE("unary operations in float64", "[elementwise]") {
  const Tensor any = normal({513}, 3, DType::float64);
  for (const UnaryRow& row : kUnaryRows) {
    const Tensor x = row.domain == Domain::positive ? abs(any) : any, z = row.op(x);
    double worst = 0;
    for (int64_t i = 0; i < x.numel(); ++i)
      worst = std::max(worst, std::abs(z.data<double>()[i] - row.formula(x.data<double>()[i])));
    CAPTURE(row.name);
    CHECK(worst < 2e-14);
  }
  CHECK(gelu(Tensor::scalar(-INFINITY, DType::float64)).item() == 0);
}

TEST_CASE("an element's value does not depend on its place", "[elementwise]") {
  const Tensor x = abs(normal({100}, 1));
  for (const UnaryRow& c : kUnaryRows) {
    const Tensor whole = c.op(x);
    bool same = true;
    for (int64_t begin = 0; begin < 40; ++begin)
      for (int64_t end = begin + 1; end < 100; end += 7)
        same = same && same_bits(c.op(x.slice(begin, end)), whole.slice(begin, end));
    CAPTURE(c.name);
    CHECK(same);
  }
}

TEST_CASE("clamp: bounds, their gradient, NaN", "[elementwise]") {
  Tensor x = Tensor::of<float>({5}, {-2, 0, 0.5f, 1, NAN}).set_requires_grad();
  const Tensor z = clamp(x, 0, 1);
  CHECK(clamp(x, std::nullopt, 0.5).to_vector()[3] == 0.5);
  CHECK(clamp(x, 0.25).to_vector()[0] == 0.25);
  CHECK(std::isnan(z[4].item()));
  CHECK(z.slice(0, 4).to_vector() == std::vector<double>{0, 0, 0.5, 1});
  z.backward(Tensor::ones({5}));
  CHECK(x.grad().slice(0, 4).to_vector() == std::vector<double>{0, 1, 1, 1});
  CHECK(clamp(Tensor::arange(4), 1, 2).to_vector() == std::vector<double>{1, 1, 2, 2});
  CHECK(clamp(Tensor::ones({1}), 3, 2).item() == 2);  // the upper bound wins
  CHECK(error_of<ArgumentError>([&] { clamp(x, std::nullopt); }) ==
        "clamp: needs min, max or both");
}

TEST_CASE("leaky_relu", "[elementwise]") {
  Tensor x = Tensor::of<float>({4}, {-2, -0.0f, 3, NAN}).set_requires_grad();
  const Tensor z = leaky_relu(x, 0.5);
  CHECK(z.slice(0, 3).to_vector() == std::vector<double>{-1, 0, 3});
  CHECK(std::signbit(z[1].item()));
  CHECK(std::isnan(z[3].item()));
  z.backward(Tensor::ones({4}));
  CHECK(x.grad().slice(0, 3).to_vector() == std::vector<double>{0.5, 0.5, 1});
  CHECK(leaky_relu(Tensor::scalar(-100)).item() == -1);
  CHECK(leaky_relu(Tensor::scalar(-INFINITY), 0.1).item() == -INFINITY);
  CHECK(error_of<DtypeError>([] { leaky_relu(Tensor::arange(2)); }) ==
        "leaky_relu: needs float32, float64 or bfloat16, got int64; to('float32') converts");
}

TEST_CASE("slopes of silu and softplus keep their tails", "[elementwise][grad]") {
  std::vector<double> places;
  for (double v = -103; v <= 103; v += 0.37) places.push_back(v);
  for (const DType dtype : {DType::float32, DType::float64}) {
    const Tensor x = Tensor::of({static_cast<int64_t>(places.size())}, places).to(dtype);
    for (const bool of_silu : {true, false}) {
      Tensor leaf = x.detach().clone().set_requires_grad();
      sum(of_silu ? silu(leaf) : softplus(leaf)).backward();
      double worst = 0;
      for (int64_t i = 0; i < x.numel(); ++i) {
        const double v = x[i].item();
        const double s = v < 0 ? std::exp(v) / (1 + std::exp(v)) : 1 / (1 + std::exp(-v));
        const double rest = v < 0 ? 1 / (1 + std::exp(v)) : std::exp(-v) / (1 + std::exp(-v));
        const double want = of_silu ? s * (1 + v * rest) : s, got = leaf.grad()[i].item();
        // Relative where float32 is normal; silu's slope has a root at -1.28.
        const double size = std::max(std::abs(want), of_silu && v > -3 && v < 0 ? 0.1 : 1e-37);
        worst = std::max(worst, std::abs(got - want) / size);
      }
      CAPTURE(dtype, of_silu);
      CHECK(worst < (dtype == DType::float32 ? 1e-6 : 1e-14));
    }
  }
  Tensor ends = Tensor::of<float>({2}, {INFINITY, -INFINITY}).set_requires_grad();
  sum(silu(ends)).backward();
  CHECK(ends.grad().to_vector() == std::vector<double>{1, 0});
}

TEST_CASE("sine and cosine of huge numbers", "[elementwise]") {
  for (const float v : {1e6f, 1048576.0f, 1048577.0f, 1e10f, 1e22f, 3e38f, -7e20f}) {
    const Tensor x = Tensor::full({9}, v);
    for (const int64_t i : {0, 8}) {
      CHECK(sin(x)[i].item() == static_cast<float>(std::sin(double{v})));
      CHECK(cos(x)[i].item() == static_cast<float>(std::cos(double{v})));
    }
  }
  CHECK(std::isnan(sin(Tensor::scalar(INFINITY)).item()));
  CHECK(std::isnan(cos(Tensor::scalar(NAN)).item()));
  CHECK(std::signbit(sin(Tensor::scalar(-0.0)).item()));
}

TEST_CASE("log1p at its ends", "[elementwise]") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    const auto at = [&](double v) { return log1p(Tensor::scalar(v, dtype)).item(); };
    CHECK(at(-1) == -INFINITY);
    CHECK(std::isnan(at(-1.5)));
    CHECK(at(INFINITY) == INFINITY);
    CHECK(at(1e-30) == (dtype == DType::float32 ? 1e-30f : 1e-30));
    CHECK(std::signbit(at(-0.0)));
  }
}

TEST_CASE("activations on plain arrays agree with the operations", "[elementwise]") {
  const auto activation =
      GENERATE(Activation::none, Activation::relu, Activation::gelu, Activation::tanh,
               Activation::sigmoid, Activation::silu, Activation::softplus);
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const int64_t rows = GENERATE(0, 1, 3, 700), width = GENERATE(1, 19, 513);
  const auto op = [&](const Tensor& x) {
    return activation == Activation::none ? x * 1.0 : apply(static_cast<Unary>(activation), x);
  };
  const Tensor x = normal({rows, width}, 1, dtype), bias = normal({width}, 2, dtype);
  const Tensor dz = normal({rows, width}, 3, dtype);
  Tensor before = (x + bias).set_requires_grad();
  const Tensor want = op(before);
  want.backward(dz);

  Tensor z = x.clone(), kept = Tensor::empty(x.shape(), dtype);
  const auto run = [&](auto type) {
    using T = decltype(type);
    add_bias_and_activate(z.data<T>(), bias.data<T>(), kept.data<T>(), rows, width, activation);
  };
  dtype == DType::float32 ? run(float{}) : run(double{});
  CHECK(same_bits(z, want));
  CHECK(same_bits(kept, before));
  const Saved saved(keeps_input(activation) ? kept : z);
  CHECK(same_bits(activation_gradient("linear", activation, dz, saved), before.grad()));
}

TEST_CASE("activations have names", "[elementwise]") {
  for (const char* name : {"none", "relu", "gelu", "tanh", "sigmoid", "silu", "softplus"})
    CHECK(name_of(activation_named(name)) == std::string(name));
  CHECK_THROWS_AS(activation_named("swish"), ArgumentError);
  CHECK(error_of<ArgumentError>([] { activation_named("swish"); }) ==
        "activation: must be 'none', 'relu', 'gelu', 'tanh', 'sigmoid', 'silu' or 'softplus', got "
        "'swish'");
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
