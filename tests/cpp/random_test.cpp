#include <algorithm>
#include <cmath>
#include <numeric>
#include <thread>

#include "catch.h"
#include "cpu/philox.h"
#include "errors.h"
#include "gradcheck.h"
#include "threads.h"

using namespace normlab;
using test::error_of;
using test::max_difference;
using test::with_threads;

namespace {

struct Moments {
  double mean = 0, variance = 0, skewness = 0, kurtosis = 0;
};
Moments moments(const std::vector<double>& x) {
  Moments m;
  const double n = static_cast<double>(x.size());
  for (const double v : x) m.mean += v / n;
  for (const double v : x) m.variance += (v - m.mean) * (v - m.mean) / n;
  for (const double v : x) {
    const double s = (v - m.mean) / std::sqrt(m.variance);
    m.skewness += s * s * s / n;
    m.kurtosis += s * s * s * s / n;
  }
  return m;
}

}  // namespace

// Known answers published with the authors' Random123 library (kat_vectors, philox4x32 10).
TEST_CASE("Philox gives the published numbers", "[random]") {
  CHECK(philox({0, 0, 0, 0}, 0, 0) == PhiloxWords{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  const uint32_t ones = 0xffffffff;
  CHECK(philox({ones, ones, ones, ones}, ones, ones) ==
        PhiloxWords{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0xa4093822, 0x299f31d0) ==
        PhiloxWords{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("uniform numbers are the stream's words", "[random]") {
  const uint64_t seed = 0x123456789abcdef, offset = 0xfffffffe;  // the counter carries over
  Generator generator;
  generator.set_state(seed, offset);
  const Tensor x = rand({1001}, 0, 1, DType::float32, generator);
  CHECK(generator.offset() == offset + 251);
  bool right = true;
  for (int64_t i = 0; i < 1001; ++i) {
    const PhiloxWords words = philox_block(seed, offset + static_cast<uint64_t>(i) / 4);
    right = right && x.data<float>()[i] == static_cast<float>(words[i % 4] >> 8) * 0x1p-24f;
  }
  CHECK(right);

  generator.set_state(seed, offset);
  const Tensor y = rand({101}, 0, 1, DType::float64, generator);
  CHECK(generator.offset() == offset + 51);
  for (int64_t i = 0; i < 101; ++i) {
    const PhiloxWords words = philox_block(seed, offset + static_cast<uint64_t>(i) / 2);
    const uint64_t word = words[i % 2 * 2] | uint64_t{words[i % 2 * 2 + 1]} << 32;
    right = right && y.data<double>()[i] == static_cast<double>(word >> 11) * 0x1p-53;
  }
  CHECK(right);
}

TEST_CASE("an element depends on seed, offset and place alone", "[random]") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const auto draw = [&] {
    Generator generator(9);
    const Shape shape{100003};
    return std::pair{rand(shape, -1, 1, dtype, generator), randn(shape, 0, 1, dtype, generator)};
  };
  const auto one = with_threads(1, draw), three = with_threads(3, draw);
  CHECK(max_difference(one.first, three.first) == 0);
  CHECK(max_difference(one.second, three.second) == 0);
  for (const int64_t n : {1, 2, 3, 63, 64, 65}) {
    Generator a(9), b(9);
    CHECK(max_difference(rand({n}, -1, 1, dtype, a), one.first.slice(0, n)) == 0);
    CHECK(max_difference(randn({n}, 0, 1, dtype, b), randn(
                                                         {100}, 0, 1, dtype,
                                                         *[] {
                                                           static Generator g;
                                                           g.set_state(9, 0);
                                                           return &g;
                                                         }())
                                                         .slice(0, n)) == 0);
  }
}

TEST_CASE("normal numbers follow Box and Muller", "[random]") {
  Generator generator(4);
  const Tensor x = randn({2000}, 2, 3, DType::float32, generator);
  double worst = 0;
  for (int64_t i = 0; i < 2000; i += 2) {
    const PhiloxWords words = philox_block(4, static_cast<uint64_t>(i) / 4);
    const double u = (words[i % 4] + 0.5) * 0x1p-32, angle = 2 * M_PI * words[i % 4 + 1] * 0x1p-32;
    const double radius = std::sqrt(-2 * std::log(u));
    worst = std::max(worst, std::abs(x.data<float>()[i] - (2 + 3 * radius * std::cos(angle))));
    worst = std::max(worst, std::abs(x.data<float>()[i + 1] - (2 + 3 * radius * std::sin(angle))));
  }
  CHECK(worst < 5e-6);
}

TEST_CASE("the distributions have their moments", "[random]") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const int64_t n = 400000;
  Generator generator(11);
  const Moments u = moments(rand({n}, -2, 4, dtype, generator).to_vector());
  CHECK(std::abs(u.mean - 1) < 0.015);
  CHECK(std::abs(u.variance - 3) < 0.03);
  const Moments z = moments(randn({n}, 5, 2, dtype, generator).to_vector());
  CHECK(std::abs(z.mean - 5) < 0.016);
  CHECK(std::abs(z.variance - 4) < 0.05);
  CHECK(std::abs(z.skewness) < 0.02);
  CHECK(std::abs(z.kurtosis - 3) < 0.04);
}

TEST_CASE("uniform numbers stay below the upper bound", "[random]") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  Generator generator(1);
  // So narrow an interval that low + u (high - low) rounds to high half of the time.
  const double low = 1, high = dtype == DType::float32 ? 1 + 0x1p-23 : 1 + 0x1p-52;
  const Tensor x = rand({1000}, low, high, dtype, generator);
  for (const double v : x.to_vector()) REQUIRE(v == low);
  CHECK(rand({3}, 2, 2, dtype, generator).to_vector() == std::vector<double>{2, 2, 2});
}

TEST_CASE("random integers", "[random]") {
  Generator generator(3);
  const Tensor x = randint(-3, 4, {70000}, generator);
  CHECK(x.dtype() == DType::int64);
  std::vector<int64_t> count(7);
  for (const double v : x.to_vector()) {
    REQUIRE((v >= -3 && v < 4));
    ++count[static_cast<size_t>(v + 3)];
  }
  for (const int64_t c : count) CHECK(std::abs(c - 10000.0) < 500);
  CHECK(randint(INT64_MIN, INT64_MAX, {3}, generator).numel() == 3);
  CHECK(randint(5, 6, {2}, generator).to_vector() == std::vector<double>{5, 5});
}

TEST_CASE("permutations", "[random]") {
  Generator generator(3);
  for (const int64_t n : {0, 1, 2, 1000}) {
    std::vector<double> p = permutation(n, generator).to_vector();
    std::sort(p.begin(), p.end());
    CHECK(p == Tensor::arange(n).to_vector());
  }
  // All six orders of three, equally often.
  std::map<std::vector<double>, int> count;
  for (int i = 0; i < 6000; ++i) ++count[permutation(3, generator).to_vector()];
  CHECK(count.size() == 6);
  for (const auto& [order, times] : count) CHECK(std::abs(times - 1000) < 150);
}

TEST_CASE("each thread has a generator of its own", "[random]") {
  manual_seed(5);
  const Tensor here = rand({4});
  Tensor there;
  std::thread([&] {
    manual_seed(5);
    there = rand({4});
  }).join();
  CHECK(max_difference(here, there) == 0);
  CHECK(default_generator().offset() == 1);
  CHECK(max_difference(here, rand({4})) > 0);
  manual_seed(5);
  CHECK(max_difference(here, rand({4})) == 0);
}

TEST_CASE("empty draws", "[random]") {
  Generator generator(1);
  CHECK(rand({0}, 0, 1, DType::float32, generator).numel() == 0);
  CHECK(randn({2, 0}, 0, 1, DType::float64, generator).numel() == 0);
  CHECK(generator.offset() == 0);
}

TEST_CASE("random errors say what came", "[random]") {
  CHECK_THROWS_AS(rand({2}, 1, 0), ArgumentError);
  CHECK(error_of<ArgumentError>([] { rand({2}, 1, 0); }) ==
        "rand: needs finite bounds with low <= high, got [1, 0)");
  CHECK_THROWS_AS(rand({2}, 0, INFINITY), ArgumentError);
  CHECK_THROWS_AS(rand({2}, 0, 1e300), ArgumentError);
  CHECK_THROWS_AS(rand({2}, 0, 1, DType::int64), DtypeError);
  CHECK_THROWS_AS(randn({2}, 0, -1), ArgumentError);
  CHECK_THROWS_AS(randn({2}, 0, 1, DType::int32), DtypeError);
  CHECK_THROWS_AS(randint(3, 3, {2}), ArgumentError);
  CHECK_THROWS_AS(permutation(-1), ArgumentError);
}
