#include <cmath>

#include "catch.h"
#include "device.h"
#include "errors.h"
#include "op_row.h"
#include "threads.h"

using namespace normlab;
using test::error_of;
using test::indices;
using test::Inputs;
using test::max_difference;
using test::with_threads;

namespace {

Tensor numbers(const Shape& shape, uint64_t seed) {
  Generator generator(seed);
  return randn(shape, 0, 1, DType::float32, generator);
}

/// The rows of g added up by index in float64, as a dense tensor; `without` left out.
std::vector<double> plain_sums(const Tensor& g, const Tensor& index, int64_t n, int64_t width,
                               int64_t without = -1) {
  std::vector<double> sums(n * width);
  const std::vector<double> at = index.to_vector(), from = g.to_vector();
  for (size_t k = 0; k < at.size(); ++k) {
    const int64_t row = static_cast<int64_t>(at[k]) + (at[k] < 0 ? n : 0);
    for (int64_t c = 0; c < width && row != without; ++c)
      sums[row * width + c] += from[k * width + c];
  }
  return sums;
}

}  // namespace

TEST_CASE("take picks rows of the first axis", "[indexing]") {
  const Tensor x = Tensor::arange(12, DType::float32).reshape({4, 3});
  const Tensor z = take(x, Tensor::of<int32_t>({2, 2}, {3, 0, -1, -4}));
  CHECK(z.shape() == Shape{2, 2, 3});
  CHECK(z.to_vector() == std::vector<double>{9, 10, 11, 0, 1, 2, 9, 10, 11, 0, 1, 2});
  CHECK(take(x, Tensor::of<int64_t>({}, {2})).shape() == Shape{3});
  CHECK(take(x, Tensor::of<int64_t>({0}, {})).shape() == Shape{0, 3});
  CHECK(take(Tensor::zeros({4, 0}), Tensor::arange(3)).shape() == Shape{3, 0});
  CHECK(take(Tensor::arange(5), Tensor::of<int64_t>({2}, {4, -5})).to_vector() ==
        std::vector<double>{4, 0});
  const Tensor mask = compare(x, 4.0, Comparison::gt);
  CHECK(take(mask, Tensor::of<int64_t>({1}, {1})).to_vector() == std::vector<double>{0, 0, 1});
}

TEST_CASE("gather picks elements along an axis", "[indexing]") {
  const Tensor x = numbers({3, 4, 5}, 1);
  const std::vector<double> from = x.to_vector();
  const std::vector<Shape> shapes{{3, 4, 5}, {2, 3, 4}, {1, 1, 1}};
  for (const int axis : {0, 1, 2, -1}) {
    for (const Shape& shape : shapes) {
      CAPTURE(axis, shape);
      const int64_t n = x.size(axis);
      Shape longer = shape;
      longer[axis] = 7;
      const Tensor index = indices(longer, -n, n, 2);
      const std::vector<double> at = index.to_vector(), z = gather(x, axis, index).to_vector();
      bool right = z.size() == at.size();
      for (int64_t k = 0; k < index.numel(); ++k) {
        int64_t place[] = {k / longer[2] / longer[1], k / longer[2] % longer[1], k % longer[2]};
        place[axis < 0 ? 2 : axis] = (static_cast<int64_t>(at[k]) + n) % n;
        right = right && z[k] == from[(place[0] * 4 + place[1]) * 5 + place[2]];
      }
      CHECK(right);
    }
  }
  CHECK(gather(x, 0, Tensor::zeros({0, 4, 5}, DType::int32)).shape() == Shape{0, 4, 5});
  CHECK(gather(Tensor::arange(4), 0, Tensor::of<int32_t>({2}, {-1, 0})).to_vector() ==
        std::vector<double>{3, 0});
}

TEST_CASE("an embedding's gradient is sparse: rising rows, summed values", "[indexing][grad]") {
  const int64_t n = GENERATE(1, 7, 2048, 5000, 3'000'000);
  const int64_t width = GENERATE(1, 3, 300);
  if (n * width > 10'000'000) return;
  CAPTURE(n, width);
  const Tensor index = indices({13, 31}, 0, n, 9);
  Tensor weight = Tensor::zeros({n, width});
  weight.set_requires_grad();
  const Tensor g = numbers({13, 31, width}, 10);
  embedding(weight, index).backward(g);
  const auto sparse = weight.sparse_grad();
  REQUIRE(sparse != nullptr);
  CHECK(sparse->shape == weight.shape());
  CHECK(sparse->rows.dtype() == DType::int64);
  CHECK(sparse->values.shape() == Shape{sparse->rows.numel(), width});
  bool rising = true;
  const int64_t* row = sparse->rows.data<int64_t>();
  for (int64_t k = 1; k < sparse->rows.numel(); ++k) rising = rising && row[k - 1] < row[k];
  CHECK(rising);
  const std::vector<double> want = plain_sums(g, index, n, width);
  const std::vector<double> got = weight.grad().to_vector();
  double worst = 0;
  for (size_t k = 0; k < want.size(); ++k) worst = std::max(worst, std::abs(want[k] - got[k]));
  CHECK(worst < 1e-5);
}

TEST_CASE("the padding row of an embedding has no gradient", "[indexing][grad]") {
  const int64_t padding = GENERATE(2, -4);
  const Tensor index = Tensor::of<int32_t>({6}, {2, 5, 2, 2, 0, 5});
  Tensor weight = numbers({6, 4}, 11);
  weight.set_requires_grad();
  const Tensor z = embedding(weight, index, padding);
  CHECK(max_difference(z, take(weight.detach(), index)) == 0);
  const Tensor g = numbers({6, 4}, 12);
  z.backward(g);
  CHECK(weight.sparse_grad()->rows.to_vector() == std::vector<double>{0, 5});
  const std::vector<double> want = plain_sums(g, index, 6, 4, 2), got = weight.grad().to_vector();
  for (size_t k = 0; k < want.size(); ++k) CHECK(std::abs(want[k] - got[k]) < 1e-6);

  weight.zero_grad();
  embedding(weight, Tensor::of<int32_t>({2}, {2, 2}), padding).backward(numbers({2, 4}, 13));
  CHECK(weight.sparse_grad()->rows.numel() == 0);
  CHECK(max_difference(weight.grad(), Tensor::zeros({6, 4})) == 0);
}

TEST_CASE("a second use of an embedding adds to its gradient", "[indexing][grad]") {
  Tensor weight = numbers({5, 2}, 14);
  weight.set_requires_grad();
  const Tensor index = Tensor::of<int64_t>({3}, {1, 4, 1}), g = numbers({3, 2}, 15);
  embedding(weight, index).backward(g);
  const Tensor once = weight.grad();
  embedding(weight, index).backward(g);
  CHECK(max_difference(weight.grad(), once + once) == 0);
}

TEST_CASE("indexing does not depend on the number of threads", "[indexing]") {
  const auto all = [] {
    Tensor x = numbers({500, 64}, 16);
    x.set_requires_grad();
    embedding(x, indices({4000}, 0, 500, 17)).backward(numbers({4000, 64}, 18));
    const Tensor rows = x.grad();
    x.zero_grad();
    gather(x, 1, indices({500, 900}, 0, 64, 19)).backward(numbers({500, 900}, 20));
    return Inputs{rows, x.grad()};
  };
  const Inputs one = with_threads(1, all), five = with_threads(5, all);
  for (size_t k = 0; k < one.size(); ++k) CHECK(max_difference(one[k], five[k]) == 0);
}

TEST_CASE("indexing refuses what it cannot do", "[indexing][error]") {
  const Tensor x = numbers({4, 3}, 21);
  CHECK(error_of<RangeError>([&] {
          take(x, Tensor::of<int64_t>({2, 2}, {0, 1, 4, 9}));
        }) == "take: index must be in [-4, 4), got 4 at [1, 0]");
  CHECK(error_of<RangeError>([&] {
          embedding(x, Tensor::of<int32_t>({2}, {0, -1}));
        }) == "embedding: index must be in [0, 4), got -1 at [1]");
  CHECK(error_of<RangeError>([&] { take(x, Tensor::of<int64_t>({1}, {INT64_MIN})); }) ==
        "take: index must be in [-4, 4), got -9223372036854775808 at [0]");
  CHECK(error_of<RangeError>([&] {
          gather(x, 1, Tensor::of<int64_t>({1, 2}, {2, 3}));
        }) == "gather: index must be in [-3, 3), got 3 at [0, 1]");
  CHECK(error_of<RangeError>([&] {
          take(Tensor::zeros({0, 3}), Tensor::of<int64_t>({1}, {0}));
        }) == "take: index must be in [0, 0), got 0 at [0]");
  CHECK(error_of<DtypeError>([&] { take(x, x); }) ==
        "take: index must be int32 or int64, got float32");
  CHECK(error_of<ShapeError>([&] { take(Tensor::scalar(1), Tensor::arange(1)); }) ==
        "take: x must have at least one axis, got a scalar");
  CHECK(error_of<ShapeError>([&] { gather(x, 0, Tensor::arange(3)); }) ==
        "gather: index must have the rank of x [4, 3] and be at most as long on every axis but 0, "
        "got [3]");
  CHECK(error_of<ShapeError>([&] { gather(x, 0, Tensor::zeros({1, 4}, DType::int64)); }) != "");
  CHECK(error_of<RangeError>([&] {
          gather(x, 2, Tensor::zeros({1, 1}, DType::int64));
        }) == "gather: axis must be in [-2, 2) for shape [4, 3], got 2");
  CHECK(error_of<ShapeError>([&] {
          embedding(numbers({2, 2, 2}, 1), Tensor::arange(1));
        }) == "embedding: weight must be [V, D], got [2, 2, 2]");
  CHECK(error_of<DtypeError>([&] {
          embedding(Tensor::zeros({2, 2}, DType::int32), Tensor::arange(1));
        }) == "embedding: weight must be float32, float64 or bfloat16, got int32");
  CHECK(error_of<RangeError>([&] { embedding(x, Tensor::arange(1), 4); }) ==
        "embedding: padding_index must be in [-4, 4), got 4");
}

TEST_CASE("rows on the GPU may lie anywhere and hold any type", "[indexing][cuda]") {
  if (!test::has_device()) return;
  const Tensor index = Tensor::of<int32_t>({3}, {2, 0, -1});
  for (const int64_t width : {1, 2, 3, 4, 7}) {
    const Tensor x = Tensor::arange(5 * width).reshape({5, width});
    for (const DType dtype : {DType::float32, DType::float64, DType::int32, DType::int64,
                              DType::uint8, DType::boolean}) {
      CAPTURE(width, dtype);
      const Tensor part = x.to(dtype).slice(1, 5), there = x.to(dtype).to(Device::cuda).slice(1, 5);
      CHECK(take(there, index.to(Device::cuda)).to_vector() == take(part, index).to_vector());
      const Tensor columns = Tensor::of<int64_t>({2, 1}, {0, -1});
      CHECK(gather(there, 1, columns.to(Device::cuda)).to_vector() ==
            gather(part, 1, columns).to_vector());
    }
  }
}

TEST_CASE("embedding on the GPU refuses negative indices", "[indexing][cuda]") {
  if (!test::has_device()) return;
  const Tensor x = Tensor::zeros({5, 2}, DType::float32, Device::cuda);
  const Tensor index = Tensor::of<int64_t>({3}, {0, -1, 4}).to(Device::cuda);
  CHECK(error_of<RangeError>([&] { embedding(x, index).to(Device::cpu); }) ==
        "embedding: index must be in [0, 5), got -1 at [1]");
}

TEST_CASE("a gradient of rows on the GPU has the same bits every time", "[indexing][cuda]") {
  if (!test::has_device()) return;
  const Tensor index = indices({30000}, 0, 3, 10).to(Device::cuda);
  const Tensor dz = numbers({30000, 5}, 11).to(Device::cuda);
  std::vector<double> first;
  for (int i = 0; i < 2; ++i) {
    Tensor x = Tensor::zeros({1000, 5}, DType::float32, Device::cuda).set_requires_grad();
    take(x, index).backward(dz);
    CHECK(x.sparse_grad() == nullptr);
    if (i == 0) first = x.grad().to_vector();
    CHECK(x.grad().to_vector() == first);
  }
}

TEST_CASE("indexing takes its index on the device of x", "[indexing][cuda]") {
  if (!test::has_device()) return;
  const Tensor x = Tensor::zeros({5, 2}, DType::float32, Device::cuda), index = Tensor::arange(2);
  CHECK(error_of<DeviceError>([&] { take(x, index); }) ==
        "take: index must be on cuda as what it indexes, is on cpu");
  CHECK(error_of<DeviceError>([&] { embedding(x, index); }) ==
        "embedding: index must be on cuda as what it indexes, is on cpu");
  CHECK(error_of<DeviceError>([&] {
          gather(x.to(Device::cpu), 0, index.reshape({2, 1}).to(Device::cuda));
        }) == "gather: index must be on cpu as what it indexes, is on cuda");
}
