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

Result run(const Tensor& qkv, const Tensor& offsets, int64_t heads, const Tensor& dz,
           bool causal = false) {
  const Tensor x = qkv.clone().set_requires_grad();
  const Tensor z = attention(x, offsets, heads, causal);
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

TEST_CASE("attention is cross_attention to itself, bit by bit", "[attention]") {
  const bool causal = GENERATE(false, true);
  const int64_t depth = GENERATE(3, 16), heads = 2, size = heads * depth;
  const Tensor offsets = offsets_of({3, 0, 1, 97});
  const Tensor qkv = numbers({101, 3 * size}, 1), dz = numbers({101, size}, 2);
  const Result self = run(qkv, offsets, heads, dz, causal);
  const Tensor q = slice(qkv, 1, 0, size).set_requires_grad();
  const Tensor kv = slice(qkv, 1, size, 3 * size).set_requires_grad();
  const Tensor z = cross_attention(q, kv, offsets, offsets, heads, causal);
  z.backward(dz);
  CHECK(max_difference(z.detach(), self.z) == 0);
  CHECK(max_difference(concat({q.grad(), kv.grad()}, 1), self.dqkv) == 0);
}

TEST_CASE("a causal sentence's end is that of a step, its beginning a sentence of its own",
          "[attention]") {
  const int64_t heads = 2, size = 48;
  const Tensor qkv = numbers({100, 3 * size}, 3);
  const Tensor z = attention(qkv, offsets_of({100}), heads, true);
  const Tensor q = slice(qkv, 1, 0, size), kv = slice(qkv, 1, size, 3 * size);
  const int64_t n = GENERATE(1, 7, 59, 100);
  const Tensor end =
      cross_attention(q.slice(100 - n, 100), kv, offsets_of({n}), offsets_of({100}), heads, true);
  CHECK(max_difference(z.slice(100 - n, 100), end) == 0);
  const Tensor beginning = attention(qkv.slice(0, n), offsets_of({n}), heads, true);
  CHECK(max_difference(z.slice(0, n), beginning) == 0);
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
  const bool causal = GENERATE(false, true);
  const Result fast = run(qkv, offsets, heads, dz, causal);
  const Result exact = run(qkv.to(DType::float64), offsets, heads, dz.to(DType::float64), causal);
  CHECK(max_difference(fast.z, exact.z) < 3e-6);
  CHECK(max_difference(fast.dqkv, exact.dqkv) < 2e-5);
}

TEST_CASE("a sentence's attention depends neither on its company nor on the threads",
          "[attention]") {
  const Tensor offsets = offsets_of({23, 100, 1, 64});
  const Tensor qkv = numbers({188, 3 * 64}, 6), dz = numbers({188, 64}, 7);
  const bool causal = GENERATE(false, true);
  const auto whole = [&] { return run(qkv, offsets, 2, dz, causal); };
  const Result all = with_threads(3, whole), again = with_threads(1, whole);
  const Result alone = with_threads(
      1, [&] { return run(qkv.slice(23, 123), offsets_of({100}), 2, dz.slice(23, 123), causal); });
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

TEST_CASE("cross_attention refuses what does not fit", "[attention]") {
  const Tensor q = Tensor::zeros({4, 6}), kv = Tensor::zeros({5, 12});
  const auto attend = [](const Tensor& q, const Tensor& kv, const std::vector<int64_t>& queries,
                         const std::vector<int64_t>& keys, bool causal = false) {
    cross_attention(q, kv, offsets_of(queries), offsets_of(keys), 2, causal);
  };
  CHECK(error_of<ShapeError>([&] {
          attend(q, Tensor::zeros({5, 18}), {4}, {5});
        }) == "cross_attention: kv must be [Tk, 12], keys and values beside q [4, 6], got [5, 18]");
  CHECK(error_of<ShapeError>([&] {
          attend(Tensor::zeros({4, 3}), kv, {4}, {5});
        }) == "cross_attention: q must be [Tq, D] with D a multiple of 2 heads, got [4, 3]");
  CHECK(error_of<ShapeError>([&] {
          attend(q, kv, {2, 2}, {5});
        }) ==
        "cross_attention: q_offsets and kv_offsets must be of as many sentences, got 2 and 1");
  CHECK(error_of<ArgumentError>([&] { attend(q, kv, {4}, {4}); }) ==
        "cross_attention: kv_offsets must end with the number of rows, 5, got 4");
  CHECK(error_of<ArgumentError>([&] { attend(q, kv, {3}, {5}); }) ==
        "cross_attention: q_offsets must end with the number of rows, 4, got 3");
  CHECK(error_of<ArgumentError>([&] {
          attend(q, kv, {1, 3}, {5, 0});
        }) ==
        "cross_attention: queries need a key in their sentence, sentence 1 has 3 queries and no "
        "key");
  CHECK(error_of<ArgumentError>([&] {
          attend(q, kv, {1, 3}, {3, 2}, true);
        }) ==
        "cross_attention: causal needs as many keys as queries in a sentence, sentence 1 has 3 "
        "queries and 2 keys");
  CHECK(error_of<DtypeError>([&] { attend(q, kv.to(DType::float64), {4}, {5}); }).find("float64") !=
        std::string::npos);
}

TEST_CASE("keys without queries have no gradient", "[attention]") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const Tensor q = numbers({2, 4}, 1).to(dtype).set_requires_grad();
  const Tensor kv = numbers({7, 8}, 2).to(dtype).set_requires_grad();
  const Tensor z = cross_attention(q, kv, offsets_of({0, 2, 0}), offsets_of({3, 4, 0}), 2);
  z.backward(Tensor::ones(z.shape(), dtype));
  CHECK(max_difference(kv.grad().slice(0, 3), Tensor::zeros({3, 8}, dtype)) == 0);
  CHECK(max_difference(kv.grad().slice(3, 7), Tensor::zeros({4, 8}, dtype)) > 0);
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

TEST_CASE("causal attention on the GPU does not depend on its company", "[attention][cuda]") {
  if (!test::has_device()) return;
  const Tensor qkv = numbers({90, 3 * 24}, 4).to(Device::cuda),
               dz = numbers({90, 24}, 5).to(Device::cuda);
  const Result all = run(qkv, offsets_of({3, 50, 37}).to(Device::cuda), 2, dz, true);
  const Result alone =
      run(qkv.slice(3, 53), offsets_of({50}).to(Device::cuda), 2, dz.slice(3, 53), true);
  CHECK(all.z.slice(3, 53).to_vector() == alone.z.to_vector());
  CHECK(all.dqkv.slice(3, 53).to_vector() == alone.dqkv.to_vector());
}

TEST_CASE("sentences that lack keys are errors of the GPU's next wait", "[attention][cuda]") {
  if (!test::has_device()) return;
  struct Case {
    std::vector<int64_t> queries, keys;
    bool causal;
  };
  const std::vector<Case> cases = {{{0, 1, 4}, {0, 5, 5}, false}, {{0, 1, 4}, {0, 3, 5}, true},
                                   {{0, 2, 4}, {1, 2, 5}, false}, {{0, 2, 4}, {0, 6, 5}, false},
                                   {{0, 2, 4}, {0, 2, 4}, false}, {{0, 2, 3}, {0, 2, 5}, true}};
  for (const Case& c : cases) {
    const auto at = [](const std::vector<int64_t>& offsets, Device device) {
      return Tensor::of({3}, offsets).to(device);
    };
    const auto attend = [&](Device device) {
      return cross_attention(Tensor::zeros({4, 6}, DType::float32, device),
                             Tensor::zeros({5, 12}, DType::float32, device), at(c.queries, device),
                             at(c.keys, device), 2, c.causal);
    };
    const std::string message = error_of<ArgumentError>([&] { attend(Device::cpu); });
    CHECK(!message.empty());
    attend(Device::cuda);
    CHECK(error_of<ArgumentError>([&] { cuda::synchronize(); }) == message);
  }
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
