#include "ops/attention.h"

#include <cmath>

#include "catch.h"
#include "device.h"
#include "errors.h"
#include "op_row.h"
#include "ops/segments.h"
#include "threads.h"

using namespace normlab;
using test::error_of;
using test::leaf;
using test::max_difference;
using test::offsets_of;
using test::with_threads;

namespace {

int64_t total(const Tensor& offsets) {
  return offsets.data<int64_t>()[offsets.numel() - 1];
}

/// softmax(q k^T / sqrt(depth)) v of one sentence by the engine's other ops.
Tensor by_parts(const Tensor& qkv, int64_t heads) {
  const int64_t n = qkv.size(0), size = qkv.size(1) / 3, depth = size / heads;
  const Tensor parts = transpose(qkv.reshape({n, 3, heads, depth}), {1, 2, 0, 3});
  const Tensor scores = matmul(parts[0], transpose(parts[1], {0, 2, 1}));
  const Tensor weights = softmax(scores / std::sqrt(static_cast<double>(depth)));
  return transpose(matmul(weights, parts[2]), {1, 0, 2}).reshape({n, size});
}

struct Result {
  Tensor z, dqkv;
};

Result run(const Tensor& qkv, const Tensor& offsets, int64_t heads, const Tensor& dz) {
  const Tensor x = qkv.clone().set_requires_grad();
  const Tensor z = attention(x, offsets, heads);
  z.backward(dz);
  return {z.detach(), x.grad()};
}

Tensor numbers(const Shape& shape, uint64_t seed, double std = 1) {
  Generator generator(seed);
  return randn(shape, 0, std, DType::float32, generator);
}

}  // namespace

TEST_CASE("attention is softmax(q k^T / sqrt(d)) v of each sentence", "[attention]") {
  const std::vector<int64_t> lengths = {3, 0, 1, 5, 45};
  const int64_t heads = GENERATE(1, 2, 6), depth = GENERATE(1, 3, 16);
  const Tensor offsets = offsets_of(lengths);
  const Tensor qkv = leaf({total(offsets), 3 * heads * depth}, 1).detach();
  const Tensor z = attention(qkv, offsets, heads);
  const int64_t* at = offsets.data<int64_t>();
  for (size_t s = 0; s < lengths.size(); ++s) {
    if (lengths[s] == 0) continue;
    CHECK(max_difference(z.slice(at[s], at[s + 1]), by_parts(qkv.slice(at[s], at[s + 1]), heads)) <
          1e-14);
  }
}

TEST_CASE("attention of float32 is that of float64", "[attention]") {
  const int64_t heads = GENERATE(1, 4);
  const int64_t depth = GENERATE(1, 3, 8, 32, 65);
  const std::vector<int64_t> lengths =
      GENERATE(std::vector<int64_t>{1}, std::vector<int64_t>{17, 0, 40, 41, 3},
               std::vector<int64_t>{130, 16});
  CAPTURE(heads, depth, lengths);
  const Tensor offsets = offsets_of(lengths);
  const Tensor qkv = numbers({total(offsets), 3 * heads * depth}, 4);
  const Tensor dz = numbers({total(offsets), heads * depth}, 5);
  const Result fast = run(qkv, offsets, heads, dz);
  const Result exact = run(qkv.to(DType::float64), offsets, heads, dz.to(DType::float64));
  CHECK(max_difference(fast.z, exact.z) < 3e-6);
  CHECK(max_difference(fast.dqkv, exact.dqkv) < 2e-5);
}

TEST_CASE("a sentence's attention depends neither on its company nor on the threads",
          "[attention]") {
  const Tensor offsets = offsets_of({23, 100, 1, 64});
  const Tensor qkv = numbers({188, 3 * 64}, 6), dz = numbers({188, 64}, 7);
  const auto whole = [&] { return run(qkv, offsets, 2, dz); };
  const Result all = with_threads(3, whole), again = with_threads(1, whole);
  const Result alone = with_threads(
      1, [&] { return run(qkv.slice(23, 123), offsets_of({100}), 2, dz.slice(23, 123)); });
  CHECK(max_difference(all.z, again.z) == 0);
  CHECK(max_difference(all.dqkv, again.dqkv) == 0);
  CHECK(max_difference(all.z.slice(23, 123), alone.z) == 0);
  CHECK(max_difference(all.dqkv.slice(23, 123), alone.dqkv) == 0);
}

TEST_CASE("attention of great scores and of NaN", "[attention]") {
  Tensor qkv = Tensor::zeros({3, 3});
  float* x = qkv.data<float>();
  x[0] = x[3] = x[6] = 1e4f;               // queries
  x[1] = 1e4f, x[4] = 2e4f, x[7] = -1e4f;  // keys
  x[2] = 1, x[5] = 2, x[8] = 3;            // values
  CHECK(attention(qkv, offsets_of({3}), 1).to_vector() == std::vector<double>{2, 2, 2});
  x[0] = NAN;
  const std::vector<double> z = attention(qkv, offsets_of({3}), 1).to_vector();
  CHECK(std::isnan(z[0]));
  CHECK(z[1] == 2);
}

TEST_CASE("attention's memory grows linearly", "[attention]") {
  const auto peak = [](int64_t sentences) {
    const Tensor offsets = offsets_of(std::vector<int64_t>(sentences, 64));
    const Tensor qkv = numbers({64 * sentences, 3 * 8}, 8).set_requires_grad();
    const int64_t before = memory_stats().in_use;
    const Tensor z = attention(qkv, offsets, 8);
    return memory_stats().in_use - before;
  };
  peak(4);  // scratch
  CHECK(peak(8) <= 2 * peak(4) + 4096);
  // Scores alone would take 8 heads x 1024 x 1024 x 4 bytes.
  const Tensor qkv = numbers({1024, 3 * 8}, 9).set_requires_grad();
  const int64_t before = memory_stats().in_use;
  const Tensor z = attention(qkv, offsets_of({1024}), 8);
  CHECK(memory_stats().in_use - before < 8 * 1024 * 1024);
}

TEST_CASE("attention refuses what does not fit", "[attention]") {
  const Tensor qkv = Tensor::zeros({4, 12});
  CHECK(error_of<ShapeError>([&] { attention(Tensor::zeros({12}), offsets_of({1}), 1); }) ==
        "attention: qkv must be [T, 3 D] with D a multiple of 1 heads, got [12]");
  CHECK(error_of<ShapeError>([&] { attention(qkv, offsets_of({4}), 3); }) ==
        "attention: qkv must be [T, 3 D] with D a multiple of 3 heads, got [4, 12]");
  CHECK(error_of<ArgumentError>([&] { attention(qkv, offsets_of({4}), 0); }) ==
        "attention: heads must be positive, got 0");
  CHECK(error_of<ArgumentError>([&] { attention(qkv, offsets_of({3}), 2); }) ==
        "attention: offsets must end with the number of rows, 4, got 3");
  CHECK(error_of<ArgumentError>([&] {
          attention(qkv, Tensor::of<int64_t>({3}, {0, 5, 4}), 2);
        }) == "attention: offsets must not fall, got 5 and then 4 at 2");
  CHECK(error_of<ArgumentError>([&] {
          attention(qkv, Tensor::of<int64_t>({2}, {1, 4}), 2);
        }) == "attention: offsets must begin with 0, got 1");
  CHECK(error_of<DtypeError>([&] { attention(qkv, Tensor::zeros({2}), 2); }) ==
        "attention: offsets must be int64, got float32");
  CHECK(error_of<ShapeError>([&] { attention(qkv, Tensor::zeros({0}, DType::int64), 2); }) ==
        "attention: offsets must be [S + 1], got [0]");
}

TEST_CASE("attention of nothing", "[attention]") {
  const Tensor qkv = Tensor::zeros({0, 6}).set_requires_grad();
  const Tensor z = attention(qkv, offsets_of({0, 0}), 2);
  CHECK(z.shape() == Shape{0, 2});
  z.backward(z.detach());
  CHECK(qkv.grad().shape() == Shape{0, 6});
  CHECK(attention(qkv, offsets_of({}), 2).shape() == Shape{0, 2});
}

TEST_CASE("segment_mean and its gradient", "[segments]") {
  const Tensor offsets = offsets_of({2, 0, 3});
  const Tensor x = Tensor::of<float>({5, 2}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 1});
  CHECK(segment_mean(x, offsets).to_vector() == std::vector<double>{2, 3, 0, 0, 7, 5});
  const Tensor many = numbers({3000, 19}, 11), at = offsets_of({1, 2000, 999});
  CHECK(max_difference(segment_mean(many, at), segment_mean(many.to(DType::float64), at)) < 1e-6);
  CHECK(error_of<ShapeError>([&] { segment_mean(Tensor::zeros({4}), offsets); }) ==
        "segment_mean: x must be [T, D], got [4]");
}

TEST_CASE("batches of changing size share their memory", "[allocator]") {
  const auto step = [](int64_t rows) {
    const Tensor x = Tensor::zeros({rows, 1024}), y = Tensor::zeros({rows, 2048});
    return x.nbytes() + y.nbytes();
  };
  for (int round = 0; round < 3; ++round)
    for (const int64_t rows : {100, 90, 70}) step(rows);
  const int64_t calls = memory_stats().system_calls;
  for (int round = 0; round < 20; ++round)
    for (const int64_t rows : {100, 90, 80, 70}) step(rows);
  CHECK(memory_stats().system_calls == calls);

  empty_cache();
  { const Tensor large = Tensor::zeros({1 << 20}); }
  const int64_t before = memory_stats().system_calls;
  { const Tensor smaller = Tensor::zeros({3 << 18}); }  // three quarters: takes the large block
  CHECK(memory_stats().system_calls == before);
  { const Tensor half = Tensor::zeros({1 << 19}); }  // would waste as much as it uses
  CHECK(memory_stats().system_calls == before + 1);
}

TEST_CASE("attention of great scores and of NaN on the GPU", "[attention][cuda]") {
  const Tensor offsets = offsets_of({5, 40, 6});
  const auto op = [&](const std::vector<Tensor>& in) {
    return attention(in[0], offsets.to(in[0].device()), 1);
  };
  Tensor x = leaf({51, 12}, 3, 0, 30);
  CHECK(test::cuda_difference(op, {x}) < 1e-9);
  x.data<double>()[2 * 12] = NAN;  // spoils its own sentence, not the next in the same tile
  CHECK(test::cuda_difference(op, {x}) < 1e-9);
}

TEST_CASE("a sentence's attention on the GPU does not depend on its company", "[attention][cuda]") {
  if (!test::has_device()) return;
  const Tensor qkv = numbers({90, 3 * 24}, 4).to(Device::cuda),
               dz = numbers({90, 24}, 5).to(Device::cuda);
  const Result all = run(qkv, offsets_of({3, 50, 37}).to(Device::cuda), 2, dz);
  const Result alone = run(qkv.slice(3, 53), offsets_of({50}).to(Device::cuda), 2, dz.slice(3, 53));
  CHECK(all.z.slice(3, 53).to_vector() == alone.z.to_vector());
  CHECK(all.dqkv.slice(3, 53).to_vector() == alone.dqkv.to_vector());
}

TEST_CASE("offsets that do not fit are errors of the GPU's next wait", "[attention][cuda]") {
  if (!test::has_device()) return;
  const std::vector<std::vector<int64_t>> wrong = {{1, 4}, {0, 3},     {0, 5, 4},       {0, 2, 9},
                                                   {0},    {-5, 0, 4}, {0, 2, 1, 3, 4}, {4, 0, 4}};
  for (const std::vector<int64_t>& at : wrong) {
    const Tensor offsets = Tensor::of<int64_t>({static_cast<int64_t>(at.size())}, at);
    const Tensor qkv = Tensor::zeros({4, 12}), there = qkv.to(Device::cuda);
    const auto compare = [&](const auto& op) {
      const std::string message = error_of<ArgumentError>([&] { op(qkv, offsets); });
      CHECK(!message.empty());
      const Tensor z = op(there, offsets.to(Device::cuda));
      CHECK(error_of<ArgumentError>([&] { cuda::synchronize(); }) == message);
      CHECK(z.to_vector().size() == static_cast<size_t>(z.numel()));
    };
    compare([](const Tensor& x, const Tensor& o) { return attention(x, o, 2); });
    compare([](const Tensor& x, const Tensor& o) { return segment_mean(x, o); });
    CHECK(error_of<DeviceError>([&] { attention(there, offsets, 2); }) ==
          "attention: offsets must be on cuda as what they divide, are on cpu");
  }
  const Tensor none = Tensor::zeros({0, 12}, DType::float32, Device::cuda);
  attention(none, Tensor::of<int64_t>({1}, {3}).to(Device::cuda), 1);
  CHECK(error_of<ArgumentError>([&] { cuda::synchronize(); }) ==
        "attention: offsets must begin with 0, got 3");
  CHECK(error_of<DeviceError>([&] {
          attention(Tensor::zeros({1, 900}, DType::float32, Device::cuda),
                    Tensor::of<int64_t>({2}, {0, 1}).to(Device::cuda), 1);
        }) == "attention: heads on cuda have at most 256 elements, got 300");
}

TEST_CASE("the places of words on the GPU as sines and cosines", "[segments][cuda]") {
  if (!test::has_device()) return;
  const std::vector<int64_t> lengths = {3, 0, 1, 240};
  const int64_t size = GENERATE(1, 33, 64, 515);
  const std::vector<double> z =
      positions_on_gpu(offsets_of(lengths).to(Device::cuda), 244, size, 0.5).to_vector();
  double worst = 0;
  size_t k = 0;
  for (const int64_t length : lengths)
    for (int64_t p = 0; p < length; ++p)
      for (int64_t j = 0; j < size; ++j, ++k) {
        const double even = static_cast<double>(j / 2 * 2) / static_cast<double>(size);
        const double angle = static_cast<double>(p) * std::pow(10000.0, -even);
        worst = std::max(worst, std::abs(z[k] - 0.5 * (j % 2 ? std::cos(angle) : std::sin(angle))));
      }
  CHECK(k == z.size());
  CHECK(worst < 1e-6);
}
