#include <cmath>
#include <cstring>

#include "catch.h"
#include "core/tensor_impl.h"
#include "cuda/library.h"
#include "errors.h"
#include "gradcheck.h"
#include "threads.h"

using namespace normlab;
using test::error_of;

TEST_CASE("dropout zeroes a share p and scales the rest", "[dropout]") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const double p = GENERATE(0.1, 0.5, 0.9);
  const int64_t n = 200000;
  Generator generator(1);
  const std::vector<double> z = dropout(Tensor::ones({n}, dtype), p, true, generator).to_vector();
  const double kept = 1 / (1 - p);
  int64_t zeros = 0, others = 0;
  for (const double v : z) {
    zeros += v == 0;
    others += v != 0 && std::abs(v - kept) > 1e-6 * kept;
  }
  CHECK(others == 0);
  CHECK(std::abs(static_cast<double>(zeros) / n - p) < 5 * std::sqrt(p * (1 - p) / n));
}

TEST_CASE("dropout is x itself unless training", "[dropout]") {
  const Tensor x = Tensor::ones({5});
  Generator generator(1);
  CHECK(dropout(x, 0.5, false, generator).is(x));
  CHECK(dropout(x, 0.0, true, generator).is(x));
  CHECK(generator.offset() == 0);
  CHECK(dropout(Tensor::ones({0, 3}), 0.5, true, generator).shape() == Shape{0, 3});
}

TEST_CASE("dropout draws one word an element from its generator", "[dropout]") {
  Generator a(7), b(7);
  const Tensor x = Tensor::ones({33});
  const Tensor first = dropout(x, 0.5, true, a);
  CHECK(a.offset() == 9);
  CHECK(test::max_difference(first, dropout(x, 0.5, true, b)) == 0);
  CHECK(test::max_difference(first, dropout(x, 0.5, true, a)) > 0);
  Generator c(7);
  // An element is dropped or not by its place in the stream alone, in either dtype.
  CHECK(test::max_difference(first.slice(0, 5), dropout(x.slice(0, 5), 0.5, true, c)) == 0);
  Generator d(7);
  CHECK(test::max_difference(first, dropout(x.to(DType::float64), 0.5, true, d)) == 0);
}

TEST_CASE("dropout does not depend on the number of threads", "[dropout]") {
  const auto run = [] {
    Generator generator(3);
    return dropout(Tensor::ones({100001}), 0.3, true, generator);
  };
  CHECK(test::max_difference(test::with_threads(1, run), test::with_threads(3, run)) == 0);
}

TEST_CASE("dropout drops the gradient of what it dropped", "[dropout][grad]") {
  const test::Op op = [](const auto& in) {
    Generator generator(5);
    return dropout(in[0], 0.4, true, generator);
  };
  CHECK(test::gradient_error(op, {test::leaf({7, 19}, 1)}) < 1e-6);
  Tensor x = Tensor::full({70}, NAN).set_requires_grad();
  Generator generator(5);
  const Tensor z = dropout(x, 0.4, true, generator);
  z.backward(Tensor::ones({70}));
  for (int64_t i = 0; i < 70; ++i)
    CHECK((z.data<float>()[i] == 0) == (x.grad().data<float>()[i] == 0));
}

TEST_CASE("dropout errors say what came", "[dropout]") {
  const Tensor x = Tensor::ones({2});
  for (const double p : {-0.1, 1.0, double{NAN}}) {
    CHECK_THROWS_AS(dropout(x, p), ArgumentError);
    CHECK_THROWS_AS(dropout(x, p, false), ArgumentError);
  }
  CHECK(error_of<ArgumentError>([&] { dropout(x, 1.5); }) ==
        "dropout: p must be in [0, 1), got 1.5");
  CHECK_THROWS_AS(dropout(x.to(DType::int32), 0.5), DtypeError);
}

TEST_CASE("dropout on the GPU draws the CPU's numbers", "[dropout][cuda]") {
  for (const int64_t n : {0, 1, 3, 4, 513, 4096, 100003}) {
    for (const double p : {0.1, 0.5}) {
      CAPTURE(n, p);
      const auto op = [&](const std::vector<Tensor>& in) {
        Generator generator((uint64_t{7} << 32) + 5);
        generator.advance((uint64_t{1} << 32) - 3);
        return dropout(in[0], p, true, generator);
      };
      const auto part = [&](const std::vector<Tensor>& in) { return op({in[0].slice(1, n)}); };
      CHECK(test::cuda_difference(op, {test::leaf({n}, 1)}) == 0);
      CHECK(test::cuda_difference(op, {test::leaf({n}, 1)}, DType::float32) == 0);
      CHECK(test::cuda_difference(op, {test::leaf({n}, 1)}, DType::bfloat16) < 0.01);
      if (n > 0) CHECK(test::cuda_difference(part, {test::leaf({n}, 1)}, DType::float32) == 0);
    }
  }
}

TEST_CASE("dropout on the GPU moves on with the replays of a graph", "[dropout][cuda]") {
  if (!test::has_device()) return;
  const Tensor x = Tensor::ones({1001}), there = x.to(Device::cuda);
  Generator generator(3), same(3);
  generator.advance(11);
  same.advance(11);
  Tensor z;
  cuda::Graph graph;
  graph.capture([&] { z = dropout(there, 0.5, true, generator); });
  for (int replay = 0; replay < 3; ++replay) {
    graph.replay();
    CHECK(z.to_vector() == dropout(x, 0.5, true, same).to_vector());
  }
  CHECK(generator.advance(0) == same.advance(0));
}
