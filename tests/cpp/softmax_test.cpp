#include "ops/softmax.h"

#include <cmath>
#include <limits>

#include "catch.h"
#include "errors.h"
#include "gradcheck.h"

using namespace normlab;
using test::error_of;
using test::max_difference;

namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

Tensor numbers(const Shape& shape, uint64_t seed, double std = 3) {
  Generator generator(seed);
  return randn(shape, 0, std, DType::float32, generator);
}

}  // namespace

TEST_CASE("softmax of float32 is that of float64", "[softmax]") {
  const Shape shape = GENERATE(Shape{1}, Shape{3, 1}, Shape{7, 3}, Shape{5, 16}, Shape{4, 513},
                               Shape{2, 3, 37}, Shape{2, 30011}, Shape{0, 5}, Shape{3, 0});
  CAPTURE(shape);
  const Tensor x = numbers(shape, 1), y = x.to(DType::float64);
  CHECK(max_difference(softmax(x), softmax(y)) < 3e-7);
  CHECK(max_difference(log_softmax(x), log_softmax(y)) < 4e-6);
}

TEST_CASE("softmax in float64 is its formula", "[softmax]") {
  const Tensor x = numbers({3, 5}, 2).to(DType::float64);
  const std::vector<double> v = x.to_vector(), z = softmax(x).to_vector();
  for (int64_t r = 0; r < 3; ++r) {
    double total = 0;
    for (int64_t i = 0; i < 5; ++i) total += std::exp(v[r * 5 + i]);
    for (int64_t i = 0; i < 5; ++i)
      CHECK(std::abs(z[r * 5 + i] - std::exp(v[r * 5 + i]) / total) < 1e-15);
  }
  CHECK(max_difference(exp(log_softmax(x)), softmax(x)) < 1e-15);
}

TEST_CASE("softmax along any axis is that of the axis put last", "[softmax]") {
  const Tensor x = numbers({3, 4, 5}, 3);
  CHECK(max_difference(transpose(softmax(x, 0), {1, 2, 0}), softmax(transpose(x, {1, 2, 0}))) == 0);
  CHECK(max_difference(transpose(softmax(x, 1), {0, 2, 1}), softmax(transpose(x, {0, 2, 1}))) == 0);
  CHECK(max_difference(softmax(x, 2), softmax(x, -1)) == 0);
  CHECK(max_difference(log_softmax(x, -3), log_softmax(x, 0)) == 0);
}

TEST_CASE("an element's softmax does not depend on its place in the row", "[softmax]") {
  const Tensor z = softmax(Tensor::full({1, 37}, 0.3));
  const std::vector<double> v = z.to_vector();
  for (const double p : v) CHECK(p == v[0]);
}

TEST_CASE("softmax of extreme rows", "[softmax]") {
  const Tensor large = Tensor::of<float>({3}, {1e30f, -1e30f, 1e30f});
  CHECK(softmax(large).to_vector() == std::vector<double>{0.5, 0, 0.5});
  CHECK(softmax(Tensor::of<float>({2}, {-kInf, 0})).to_vector() == std::vector<double>{0, 1});
  CHECK(log_softmax(Tensor::of<float>({2}, {-kInf, 0})).to_vector() ==
        std::vector<double>{-INFINITY, 0});
  for (const int64_t n : {3, 40}) {
    Tensor x = Tensor::zeros({2, n});
    x.data<float>()[n - 1] = kNan;
    for (const Tensor& t : {softmax(x), log_softmax(x), softmax(x.to(DType::float64))}) {
      const std::vector<double> z = t.to_vector();
      for (int64_t i = 0; i < 2 * n; ++i) CHECK(std::isnan(z[i]) == (i < n));
    }
    CHECK(std::isnan(softmax(Tensor::full({n}, -kInf)).to_vector()[0]));
    CHECK(std::isnan(softmax(Tensor::full({n}, kInf)).to_vector()[0]));
  }
}

TEST_CASE("float32 gradients of softmax are those of the reference", "[softmax][grad]") {
  const int64_t n = GENERATE(1, 3, 16, 37, 513);
  const bool log = GENERATE(false, true);
  CAPTURE(n, log);
  const Tensor x = numbers({4, n}, 5), dz = numbers({4, n}, 6);
  const Tensor z = log ? log_softmax(x) : softmax(x);
  Tensor got = Tensor::empty(x.shape()), want = Tensor::empty(x.shape());
  softmax_kernels_for_cpu().backward(z.data<float>(), dz.data<float>(), 4, n, log,
                                     got.data<float>());
  reference::softmax_backward(z.data<float>(), dz.data<float>(), 4, n, log, want.data<float>());
  CHECK(max_difference(got, want) < 2e-5);
}

TEST_CASE("a softmax changed in place before backward is refused", "[softmax][grad]") {
  Tensor x = numbers({2, 3}, 7);
  x.set_requires_grad();
  Tensor z = softmax(x);
  z.bump_version();
  CHECK(error_of<GradError>([&] { z.backward(Tensor::ones({2, 3})); }) != "");
}

TEST_CASE("softmax refuses what it cannot do", "[softmax][error]") {
  CHECK(error_of<DtypeError>([] { softmax(Tensor::arange(3)); }) ==
        "softmax: x must be float32, float64 or bfloat16, got int64");
  CHECK(error_of<RangeError>([] { log_softmax(Tensor::zeros({3}), 1); }) ==
        "log_softmax: axis must be in [-1, 1) for shape [3], got 1");
  CHECK(error_of<RangeError>([] { softmax(Tensor::scalar(1), 1); }) != "");
}
