#include <numeric>

#include "catch.h"
#include "errors.h"
#include "gradcheck.h"

using namespace normlab;
using test::cuda_difference;
using test::error_of;
using test::leaf;
using test::max_difference;
using test::Op;

namespace {

Tensor counting(const Shape& shape, DType dtype = DType::float32) {
  return Tensor::arange(shape.numel(), dtype).reshape(shape);
}

/// Element of x at a multi-index.
double at(const Tensor& x, const std::vector<double>& values, const std::vector<int64_t>& index) {
  int64_t k = 0;
  for (int i = 0; i < x.rank(); ++i) k = k * x.size(i) + index[i];
  return values[k];
}

/// Calls body(multi-index, k) for every element of a shape.
template <class Body>
void for_each_index(const Shape& shape, const Body& body) {
  for (int64_t k = 0; k < shape.numel(); ++k) {
    std::vector<int64_t> index(shape.rank());
    int64_t rest = k;
    for (int i = shape.rank() - 1; i >= 0; --i) {
      index[i] = rest % shape[i];
      rest /= shape[i];
    }
    body(index, k);
  }
}

}  // namespace

TEST_CASE("transpose puts every element in its place", "[shape]") {
  const std::vector<std::pair<Shape, std::vector<int>>> cases{
      {{5}, {0}},
      {{3, 7}, {1, 0}},
      {{33, 65}, {1, 0}},
      {{2, 3, 4}, {}},
      {{2, 33, 18}, {0, 2, 1}},
      {{4, 5, 3, 16}, {0, 2, 1, 3}},
      {{2, 3, 17, 19}, {0, 2, 3, 1}},
      {{2, 17, 19, 3}, {0, 3, 1, 2}},
      {{3, 1, 4, 1, 5}, {4, 3, 2, 1, 0}},
      {{2, 3, 2, 3, 2, 3}, {5, 0, 3, 2, -2, 1}},
      {{1, 1}, {1, 0}},
      {{2, 3, 4}, {0, 1, 2}},
  };
  const DType dtype =
      GENERATE(DType::float32, DType::float64, DType::int32, DType::int64, DType::uint8);
  for (const auto& [shape, order] : cases) {
    CAPTURE(shape, order);
    const Tensor x = counting(shape).to(DType::int64);
    const Tensor typed =
        dtype == DType::uint8 ? compare(x, 7.0, Comparison::lt).to(dtype) : x.to(dtype);
    const Tensor z = transpose(typed, order);
    std::vector<int> full = order;
    if (full.empty()) {
      full.resize(shape.rank());
      std::iota(full.rbegin(), full.rend(), 0);
    }
    const std::vector<double> from = typed.to_vector(), to = z.to_vector();
    bool right = true;
    for_each_index(z.shape(), [&, &shape = shape](const auto& index, int64_t k) {
      std::vector<int64_t> source(shape.rank());
      for (int i = 0; i < shape.rank(); ++i)
        source[(full[i] + shape.rank()) % shape.rank()] = index[i];
      right = right && at(typed, from, source) == to[k];
    });
    CHECK(right);
    CHECK(z.raw() != typed.raw());
  }
}

TEST_CASE("shapes of shape operations", "[shape]") {
  const Tensor x = counting({2, 3, 4});
  CHECK(transpose(x).shape() == Shape{4, 3, 2});
  CHECK(transpose(Tensor::zeros({0, 3})).shape() == Shape{3, 0});
  CHECK(transpose(Tensor::scalar(3)).item() == 3);
  CHECK(flatten(x).shape() == Shape{24});
  CHECK(flatten(x, 1).shape() == Shape{2, 12});
  CHECK(flatten(x, 0, -2).shape() == Shape{6, 4});
  CHECK(flatten(x, 1, 1).shape() == Shape{2, 3, 4});
  CHECK(flatten(x).raw() == x.raw());
  CHECK(flatten(Tensor::scalar(1)).shape() == Shape{1});
  CHECK(flatten(Tensor::zeros({0, 3, 4}), 1).shape() == Shape{0, 12});
  CHECK(broadcast_to(x, {5, 2, 3, 4}).shape() == Shape{5, 2, 3, 4});
  CHECK(broadcast_to(Tensor::zeros({1, 3}), {0, 3}).shape() == Shape{0, 3});
  CHECK(concat({Tensor::zeros({0, 2}), Tensor::ones({3, 2})}).shape() == Shape{3, 2});
  CHECK(slice(x, 1, 1, 1).shape() == Shape{2, 0, 4});
}

TEST_CASE("broadcast_to repeats what has length 1", "[shape]") {
  const std::vector<std::pair<Shape, Shape>> cases{
      {{}, {3, 2}},
      {{1}, {5}},
      {{4}, {3, 4}},
      {{3, 1}, {3, 70}},
      {{1, 4}, {3, 4}},
      {{2, 1, 3}, {2, 5, 3}},
      {{2, 1, 3, 1}, {4, 2, 5, 3, 6}},
      {{2, 3}, {2, 3}},
  };
  for (const auto& [from, to] : cases) {
    CAPTURE(from, to);
    const Tensor x = counting(from);
    const Tensor z = broadcast_to(x, to);
    const std::vector<double> source = x.to_vector(), values = z.to_vector();
    bool right = z.shape() == to;
    for_each_index(to, [&, &from = from](const std::vector<int64_t>& index, int64_t k) {
      std::vector<int64_t> place(index.end() - from.rank(), index.end());
      for (int i = 0; i < from.rank(); ++i)
        if (from[i] == 1) place[i] = 0;
      right = right && at(x, source, place) == values[k];
    });
    CHECK(right);
  }
}

TEST_CASE("concat and slice are inverse", "[shape]") {
  const int axis = GENERATE(0, 1, 2, -1);
  const Tensor x = counting({4, 5, 6});
  const int64_t n = x.size(axis);
  CAPTURE(axis);
  const Tensor whole =
      concat({slice(x, axis, 0, 1), slice(x, axis, 1, 1), slice(x, axis, 1, n)}, axis);
  CHECK(max_difference(whole, x) == 0);
}

TEST_CASE("slice takes every step-th element", "[shape]") {
  const Tensor x = counting({3, 7, 4});
  for (const int axis : {0, 1, 2}) {
    for (const int64_t step : {1, 2, 3, 100}) {
      CAPTURE(axis, step);
      const int64_t n = x.size(axis);
      const Tensor z = slice(x, axis, 1, n, step);
      REQUIRE(z.size(axis) == (n - 1 + step - 1) / step);
      const std::vector<double> from = x.to_vector(), to = z.to_vector();
      bool right = true;
      for_each_index(z.shape(), [&](std::vector<int64_t> index, int64_t k) {
        index[axis] = 1 + index[axis] * step;
        right = right && at(x, from, index) == to[k];
      });
      CHECK(right);
    }
  }
  CHECK(slice(x, 1, 6, 7, INT64_MAX).shape() == Shape{3, 1, 4});
}

TEST_CASE("shape operations take every dtype", "[shape]") {
  const Tensor mask = compare(counting({2, 3}), 2.0, Comparison::gt);
  CHECK(transpose(mask).to_vector() == std::vector<double>{0, 1, 0, 1, 0, 1});
  CHECK(concat({mask, mask}, 1).dtype() == DType::boolean);
  CHECK(slice(mask, 1, 0, 3, 2).to_vector() == std::vector<double>{0, 0, 1, 1});
  CHECK(broadcast_to(Tensor::arange(2), {2, 2}).to_vector() == std::vector<double>{0, 1, 0, 1});
}

TEST_CASE("shape operations refuse what they cannot do", "[shape][error]") {
  const Tensor x = counting({2, 3});
  CHECK(error_of<ArgumentError>([&] { transpose(x, {0}); }) ==
        "transpose: order must name the 2 axes of shape [2, 3], got 1");
  CHECK(error_of<ArgumentError>([&] {
          transpose(x, {1, -1});
        }) == "transpose: order must name every axis of shape [2, 3] once, got axis -1 twice");
  CHECK(error_of<RangeError>([&] {
          transpose(x, {0, 2});
        }) == "transpose: axis must be in [-2, 2) for shape [2, 3], got 2");
  CHECK(error_of<ArgumentError>([&] { flatten(x, 1, 0); }) ==
        "flatten: axis `from` must not come after `to`, got 1 and 0 for shape [2, 3]");
  CHECK(error_of<ShapeError>([&] {
          broadcast_to(x, {3, 2});
        }).find("broadcast_to: shape [2, 3] does not broadcast to [3, 2]") == 0);
  CHECK(error_of<ShapeError>([&] { broadcast_to(x, {3}); }) != "");
  CHECK(error_of<ArgumentError>([&] { concat({}); }) ==
        "concat: needs at least one part, got none");
  CHECK(error_of<ShapeError>([&] {
          concat({x, counting({3, 3})}, 1);
        }) ==
        "concat: part 1 must have the lengths of part 0, [2, 3], but for axis 1; it is [3, 3]");
  CHECK(error_of<DtypeError>([&] {
          concat({x, Tensor::arange(6).reshape({2, 3})});
        }) == "concat: all parts must be float32, as part 0 is; part 1 is int64");
  CHECK(error_of<RangeError>([&] { slice(x, 1, 1, 4); }) ==
        "slice: elements [1, 4) must lie within the 3 of axis 1 of shape [2, 3]");
  CHECK(error_of<ArgumentError>([&] { slice(x, 1, 0, 3, 0); }) ==
        "slice: step must be positive, got 0");
}

TEST_CASE("parts of tensors on the GPU", "[shape][cuda]") {
  const Op row = [](const std::vector<Tensor>& in) { return in[0][-2] + in[0].slice(1, 2); };
  CHECK(cuda_difference(row, {leaf({4, 5}, 1)}) == 0);
  if (!test::has_device()) return;
  const Tensor x = Tensor::ones({2});
  CHECK(error_of<DeviceError>([&] {
          concat({x.to(Device::cuda), x});
        }) == "concat: all parts must be on cuda, as part 0 is; part 1 is on cpu");
}

TEST_CASE("dtypes change on the GPU", "[shape][cuda]") {
  const DType all[] = {DType::float32, DType::float64, DType::int32,
                       DType::int64,   DType::uint8,   DType::boolean};
  for (const DType from : all)
    for (const DType to : all) {
      CAPTURE(from, to);
      const Op op = [=](const std::vector<Tensor>& in) { return in[0].to(from).to(to); };
      for (const int64_t n : {0, 1, 513}) {
        const Tensor x = Tensor::arange(n).to(DType::float64) / 4.0 + 0.3;
        CHECK(cuda_difference(op, {x}) == 0);
      }
    }
  const Op there_and_back = [](const std::vector<Tensor>& in) {
    return in[0].to(DType::float64).to(DType::float32) * in[0];
  };
  CHECK(cuda_difference(there_and_back, {leaf({33}, 1)}, DType::float32) < 1e-6);
  if (!test::has_device()) return;
  const Tensor x =
      Tensor::of<double>({7}, {300, -7, NAN, 1e300, -1e300, 254.9, -0.9}).to(Device::cuda);
  CHECK(x.to(DType::uint8).to_vector() == std::vector<double>{255, 0, 0, 255, 0, 254, 0});
  CHECK(x.to(DType::int32).to_vector() ==
        std::vector<double>{300, -7, 0, 2147483647, -2147483648.0, 254, 0});
  CHECK(x.to(DType::float32).to(DType::int64).to_vector() ==
        std::vector<double>{300, -7, 0, 0x1p63, -0x1p63, 254, 0});
  CHECK(x.to(DType::boolean).to_vector() == std::vector<double>(7, 1));
}
