#include <cmath>

#include "catch.h"
#include "device.h"
#include "errors.h"
#include "op_row.h"

using namespace normlab;
using test::coins;
using test::error_of;

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

TEST_CASE("masks of another device are refused", "[masking][cuda]") {
  if (!test::has_device()) return;
  const Tensor x = Tensor::ones({2}).to(Device::cuda), mask = Tensor::ones({2}, DType::boolean);
  CHECK(error_of<DeviceError>([&] { where(mask, x, x); }) ==
        "where: mask must be on cuda, got cpu");
  CHECK(error_of<DeviceError>([&] { masked_fill(x, mask, 1); }) ==
        "masked_fill: mask must be on cuda, got cpu");
}
