#include "catch.h"
#include "errors.h"
#include "gradcheck.h"
#include "threads.h"

using namespace normlab;
using test::error_of;
using test::gradient_error;
using test::leaf;
using test::max_difference;
using test::with_threads;

namespace {

Tensor numbers(const Shape& shape, uint64_t seed) {
  Generator generator(seed);
  return randn(shape, 0, 1, DType::float32, generator);
}

Tensor some_features(int64_t n, int64_t positions, int64_t rows, uint64_t seed) {
  Generator generator(seed);
  return randint(0, rows, {n, positions}, generator).to(DType::int32);
}

/// embedding(), joined, times the weight as one matrix.
Tensor by_parts(const Tensor& table, const Tensor& features, const Tensor& weight,
                const Tensor& bias) {
  const int64_t n = features.size(0), inner = weight.size(0) * weight.size(1);
  const Tensor x = embedding(table, features).reshape({n, inner});
  const Tensor z = matmul(x, weight.reshape({inner, weight.size(2)}));
  return bias ? z + bias : z;
}

}  // namespace

TEST_CASE("feature_linear is embedding and linear", "[feature_linear]") {
  const int64_t width = GENERATE(1, 3, 16, 130, 513), n = GENERATE(0, 1, 7, 90);
  const bool with_bias = GENERATE(true, false);
  CAPTURE(width, n, with_bias);
  const Tensor features = some_features(n, 5, 11, 1);
  const Tensor table = leaf({11, 3}, 2), weight = leaf({5, 3, width}, 3);
  const Tensor bias = with_bias ? leaf({width}, 4) : Tensor();
  CHECK(max_difference(feature_linear(table, features, weight, bias),
                       by_parts(table, features, weight, bias)) < 1e-12);
  const auto in_float = [](const Tensor& x) { return x ? x.detach().to(DType::float32) : x; };
  CHECK(max_difference(feature_linear(in_float(table), features, in_float(weight), in_float(bias)),
                       by_parts(table, features, weight, bias)) < 2e-5);
}

TEST_CASE("feature_linear's gradient", "[feature_linear]") {
  const Tensor features = some_features(9, 4, 6, 5);
  CHECK(
      gradient_error(
          [&](const std::vector<Tensor>& x) { return feature_linear(x[0], features, x[1], x[2]); },
          {leaf({6, 3}, 6), leaf({4, 3, 5}, 7), leaf({5}, 8)}) < 1e-7);
}

TEST_CASE("feature_linear's gradients of float32 are those of its parts", "[feature_linear]") {
  const Tensor features = some_features(300, 8, 40, 9);
  const Tensor dz = numbers({300, 70}, 10);
  std::vector<Tensor> fast, exact;
  for (const Shape& shape : {Shape{40, 10}, Shape{8, 10, 70}, Shape{70}}) {
    fast.push_back(numbers(shape, 11 + fast.size()));
    exact.push_back(fast.back().to(DType::float64));
    fast.back().set_requires_grad();
    exact.back().set_requires_grad();
  }
  feature_linear(fast[0], features, fast[1], fast[2]).backward(dz);
  by_parts(exact[0], features, exact[1], exact[2]).backward(dz.to(DType::float64));
  for (size_t i = 0; i < fast.size(); ++i) {
    CAPTURE(i);
    CHECK(max_difference(fast[i].grad(), exact[i].grad()) < 2e-3);
  }
  CHECK(fast[0].sparse_grad() != nullptr);
}

TEST_CASE("feature_linear does not depend on the number of threads", "[feature_linear]") {
  const Tensor features = some_features(200, 6, 30, 12), dz = numbers({200, 64}, 13);
  const auto run = [&] {
    const Tensor table = numbers({30, 9}, 14).set_requires_grad(),
                 weight = numbers({6, 9, 64}, 15).set_requires_grad();
    const Tensor z = feature_linear(table, features, weight);
    z.backward(dz);
    return std::vector<Tensor>{z.detach(), table.grad(), weight.grad()};
  };
  const std::vector<Tensor> one = with_threads(1, run), three = with_threads(3, run);
  for (size_t i = 0; i < one.size(); ++i) CHECK(max_difference(one[i], three[i]) == 0);
}

TEST_CASE("feature_linear refuses what does not fit", "[feature_linear]") {
  const Tensor table = Tensor::zeros({4, 3}), weight = Tensor::zeros({2, 3, 5});
  const auto features = [](std::initializer_list<int32_t> values) {
    return Tensor::of<int32_t>({static_cast<int64_t>(values.size()) / 2, 2}, values);
  };
  CHECK(error_of<RangeError>([&] {
          feature_linear(table, features({0, 1, 4, 0}), weight);
        }) == "feature_linear: features must be in [0, 4), got 4 at [1, 0]");
  CHECK(error_of<RangeError>([&] {
          feature_linear(table, features({0, -1}), weight);
        }) == "feature_linear: features must be in [0, 4), got -1 at [0, 1]");
  CHECK(error_of<ShapeError>([&] {
          feature_linear(table, features({0, 1}), Tensor::zeros({2, 4, 5}));
        }) == "feature_linear: weight must be [P, E, H] with P = 2 and E = 3, got [2, 4, 5]");
  CHECK(error_of<ShapeError>([&] {
          feature_linear(table, features({0, 1}), weight, Tensor::zeros({4}));
        }) == "feature_linear: bias must be [5], got [4]");
  CHECK(error_of<DtypeError>([&] {
          feature_linear(table, Tensor::zeros({1, 2}, DType::int64), weight);
        }) == "feature_linear: features must be int32, got int64");
}

TEST_CASE("feature_linear on the GPU agrees with the CPU", "[feature_linear][cuda]") {
  const int64_t n = GENERATE(0, 1, 90), width = GENERATE(1, 33);
  const bool with_bias = GENERATE(true, false);
  CAPTURE(n, width, with_bias);
  const Tensor features = some_features(n, 5, 11, 1);
  const auto op = [&](const std::vector<Tensor>& x) {
    return feature_linear(x[0], features.to(x[0].device()), x[1], x.size() > 2 ? x[2] : Tensor());
  };
  std::vector<Tensor> inputs = {leaf({11, 3}, 2), leaf({5, 3, width}, 3)};
  if (with_bias) inputs.push_back(leaf({width}, 4));
  CHECK(test::cuda_difference(op, inputs) < 1e-12);
  CHECK(test::cuda_difference(op, inputs, DType::float32) < 2e-5);
}

TEST_CASE("a bad feature is an error of the GPU's next wait", "[feature_linear][cuda]") {
  if (!test::has_device()) return;
  const Tensor table = numbers({4, 2}, 1), weight = numbers({3, 2, 5}, 2);
  for (const int32_t wrong : {-1, 4}) {
    const Tensor features = Tensor::of<int32_t>({2, 3}, {0, 1, 2, 3, wrong, 9});
    const std::string message =
        error_of<RangeError>([&] { feature_linear(table, features, weight); });
    const Tensor there = features.to(Device::cuda);
    const Tensor z = feature_linear(table.to(Device::cuda), there, weight.to(Device::cuda));
    CHECK(error_of<RangeError>([&] { z.to_vector(); }) == message);
    CHECK(error_of<DeviceError>([&] { feature_linear(table, there, weight); }) ==
          "feature_linear: features must be on cpu as table, are on cuda");
  }
}
