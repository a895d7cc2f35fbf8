#include <array>
#include <cmath>

#include "catch.h"
#include "errors.h"
#include "gradcheck.h"

using namespace normlab;
using test::cuda_difference;
using test::error_of;
using test::gradient_error;
using test::leaf;
using test::Op;

namespace {

Tensor coins(const Shape& shape, uint64_t seed) {
  Generator generator(seed);
  return compare(rand(shape, 0, 1, DType::float32, generator), 0.5, Comparison::lt);
}

}  // namespace

TEST_CASE("where picks, in every dtype", "[masking]") {
  const DType dtype = GENERATE(DType::float32, DType::float64, DType::int32, DType::int64,
                               DType::uint8, DType::boolean);
  for (const int64_t n : {0, 1, 3, 513, 5000}) {
    const Tensor mask = coins({n}, 1);
    const Tensor a = coins({n}, 2).to(dtype), b = coins({n}, 3).to(dtype);
    const Tensor z = where(mask, a, b);
    CHECK(z.dtype() == dtype);
    const auto m = mask.to_vector(), x = a.to_vector(), y = b.to_vector(), got = z.to_vector();
    bool right = true;
    for (size_t i = 0; i < got.size(); ++i) right = right && got[i] == (m[i] != 0 ? x[i] : y[i]);
    CHECK(right);
  }
}

TEST_CASE("where broadcasts all three", "[masking]") {
  const Tensor a = Tensor::of<float>({2, 1}, {1, 2}), b = Tensor::of<float>({3}, {10, 20, 30});
  const Tensor m = Tensor::of<bool>({2, 3}, {true, false, true, false, true, false});
  CHECK(where(m, a, b).to_vector() == std::vector<double>{1, 20, 1, 10, 2, 30});
  CHECK(where(Tensor::scalar(1, DType::boolean), a, b).to_vector() ==
        std::vector<double>{1, 1, 1, 2, 2, 2});
  CHECK(where(Tensor::scalar(0, DType::boolean), a, b).to_vector() ==
        std::vector<double>{10, 20, 30, 10, 20, 30});
  CHECK(where(Tensor::of<bool>({2, 1}, {false, true}), Tensor::scalar(5), Tensor::scalar(6))
            .to_vector() == std::vector<double>{6, 5});
  const Tensor wide = where(coins({4, 600}, 1), Tensor::ones({600}), Tensor::zeros({4, 1}));
  CHECK(wide.to_vector() == coins({4, 600}, 1).to_vector());
}

TEST_CASE("where keeps NaN out of what is not picked", "[masking]") {
  Tensor x = Tensor::of<float>({2}, {4, -1}).set_requires_grad();
  const Tensor positive = compare(x, 0.0, Comparison::gt);
  const Tensor z = where(positive, sqrt(where(positive, x, Tensor::ones({2}))), Tensor::zeros({2}));
  CHECK(z.to_vector() == std::vector<double>{2, 0});
  z.backward(Tensor::ones({2}));
  CHECK(x.grad().to_vector() == std::vector<double>{0.25, 0});
}

TEST_CASE("gradients of where and masked_fill", "[masking][grad]") {
  const Tensor mask = coins({4, 5}, 1);
  const test::Op pick = [&](const auto& in) { return where(mask, in[0], in[1]); };
  CHECK(gradient_error(pick, {leaf({4, 5}, 1), leaf({4, 5}, 2)}) < 1e-6);
  CHECK(gradient_error(pick, {leaf({5}, 1), leaf({4, 1}, 2)}) < 1e-6);
  CHECK(gradient_error(pick, {leaf({}, 1), leaf({3, 4, 5}, 2)}) < 1e-6);
  const test::Op fill = [&](const auto& in) { return masked_fill(in[0], mask, -7); };
  CHECK(gradient_error(fill, {leaf({4, 5}, 1)}) < 1e-6);
  CHECK(gradient_error(fill, {leaf({3, 4, 5}, 1)}) < 1e-6);
}

TEST_CASE("masked_fill replaces", "[masking]") {
  const Tensor x = Tensor::of<float>({2, 2}, {1, 2, 3, 4});
  const Tensor mask = Tensor::of<bool>({2}, {false, true});
  CHECK(masked_fill(x, mask, -INFINITY).to_vector() ==
        std::vector<double>{1, -INFINITY, 3, -INFINITY});
  CHECK(masked_fill(x.to(DType::int64), mask, 9).to_vector() == std::vector<double>{1, 9, 3, 9});
  CHECK(x.to_vector() == std::vector<double>{1, 2, 3, 4});
  CHECK(masked_fill(Tensor::ones({0, 2}), mask, 1).numel() == 0);
}

TEST_CASE("masking errors say what came", "[masking]") {
  const Tensor x = Tensor::ones({2, 3}), mask = coins({2, 3}, 1);
  CHECK_THROWS_AS(where(x, x, x), DtypeError);
  CHECK(error_of<DtypeError>([&] { where(x, x, x); }) == "where: mask must be bool, got float32");
  CHECK_THROWS_AS(where(mask, x, x.to(DType::float64)), DtypeError);
  CHECK_THROWS_AS(where(mask, x, Tensor::ones({4})), ShapeError);
  CHECK_THROWS_AS(masked_fill(x, coins({4, 2, 3}, 1), 0), ShapeError);
  CHECK(error_of<ShapeError>([&] {
          masked_fill(x, coins({4, 2, 3}, 1), 0);
        }) == "masked_fill: mask must broadcast to x [2, 3], got [4, 2, 3]");
  CHECK_THROWS_AS(masked_fill(x, x, 0), DtypeError);
  CHECK_THROWS_AS(masked_fill(x.to(DType::int32), mask, 0.5), DtypeError);
  CHECK_THROWS_AS(where(Tensor(), x, x), ArgumentError);
}

TEST_CASE("a mask that was changed is noticed", "[masking][grad]") {
  Tensor x = Tensor::ones({3}).set_requires_grad(), mask = coins({3}, 1);
  const Tensor z = masked_fill(x, mask, 0);
  mask.fill_(0);
  CHECK_THROWS_AS(z.backward(Tensor::ones({3})), GradError);
}

TEST_CASE("masks on the GPU", "[masking][cuda]") {
  const Op pick = [](const std::vector<Tensor>& in) { return where(in[0], in[1], in[2]); };
  const std::vector<std::array<Shape, 3>> shapes = {{Shape{}, Shape{}, Shape{}},
                                                    {Shape{0}, Shape{1}, Shape{0}},
                                                    {Shape{513}, Shape{513}, Shape{513}},
                                                    {Shape{64}, Shape{64}, Shape{64}},
                                                    {Shape{6, 1}, Shape{64}, Shape{6, 64}},
                                                    {Shape{3, 1, 4}, Shape{5, 1}, Shape{1, 5, 4}},
                                                    {Shape{70000}, Shape{}, Shape{70000}}};
  for (const auto& [mask, a, b] : shapes) {
    CAPTURE(mask, a, b);
    CHECK(cuda_difference(pick, {coins(mask, 1), leaf(a, 2), leaf(b, 3)}) < 1e-12);
    CHECK(cuda_difference(pick, {coins(mask, 1), leaf(a, 2), leaf(b, 3)}, DType::float32) < 2e-5);
    for (const DType dtype : {DType::int32, DType::int64, DType::uint8, DType::boolean})
      CHECK(cuda_difference(pick, {coins(mask, 1), coins(a, 2).to(dtype), coins(b, 3).to(dtype)}) ==
            0);
  }
  const Op fill = [](const std::vector<Tensor>& in) { return masked_fill(in[0], in[1], -7.25); };
  for (const Shape& mask : {Shape{4, 33}, Shape{33}, Shape{4, 1}, Shape{}})
    for (const DType dtype : {DType::float32, DType::float64})
      CHECK(cuda_difference(fill, {leaf({4, 33}, 1), coins(mask, 3)}, dtype) == 0);
  const Op fill_bytes = [](const std::vector<Tensor>& in) { return masked_fill(in[0], in[1], 7); };
  CHECK(cuda_difference(fill_bytes, {coins({5}, 1).to(DType::uint8), coins({5}, 2)}) == 0);
  if (!cuda::is_available()) return;
  const Tensor x = Tensor::ones({2}).to(Device::cuda), mask = Tensor::ones({2}, DType::boolean);
  CHECK(error_of<DeviceError>([&] { where(mask, x, x); }) ==
        "where: mask must be on cuda, got cpu");
  CHECK(error_of<DeviceError>([&] { masked_fill(x, mask, 1); }) ==
        "masked_fill: mask must be on cuda, got cpu");
}
