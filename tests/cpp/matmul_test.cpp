#include <pthread.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <csignal>
#include <string>
#include <thread>

#include "catch.h"
#include "device.h"
#include "kernel_checks.h"
#include "threads.h"

using namespace normlab;
using namespace normlab::test;

namespace {

/// a [M, K] b [K, N] in float64 by the definition.
std::vector<double> plain_product(const Tensor& a, const Tensor& b) {
  const int64_t M = a.size(0), K = a.size(1), N = b.size(1);
  const std::vector<double> x = a.to_vector(), y = b.to_vector();
  std::vector<double> z(static_cast<size_t>(M * N));
  for (int64_t i = 0; i < M; ++i)
    for (int64_t j = 0; j < N; ++j)
      for (int64_t k = 0; k < K; ++k) z[i * N + j] += x[i * K + k] * y[k * N + j];
  return z;
}

/// Sends this thread signals while it lives; counts them, and those that found the stack pointer
/// outside of the thread's stack.
class Signals {
 public:
  Signals() {
    pthread_attr_t attributes;
    pthread_getattr_np(pthread_self(), &attributes);
    void* lowest = nullptr;
    size_t size = 0;
    pthread_attr_getstack(&attributes, &lowest, &size);
    pthread_attr_destroy(&attributes);
    begin_ = reinterpret_cast<uintptr_t>(lowest);
    end_ = begin_ + size;
    count = 0;
    strayed = 0;
    struct sigaction action = {};
    action.sa_handler = handle;
    sigaction(SIGUSR1, &action, &before_);
    sender_ = std::thread([this, target = pthread_self()] {
      while (!stop_) {
        pthread_kill(target, SIGUSR1);
        std::this_thread::sleep_for(std::chrono::microseconds(200));
      }
    });
  }
  ~Signals() {
    stop_ = true;
    sender_.join();
    sigaction(SIGUSR1, &before_, nullptr);
  }
  static inline volatile std::sig_atomic_t count = 0, strayed = 0;

 private:
  static void handle(int) {
    const auto here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
    count = count + 1;
    if (here < begin_ || here >= end_) strayed = strayed + 1;
  }
  static inline uintptr_t begin_ = 0, end_ = 0;
  struct sigaction before_ = {};
  std::atomic<bool> stop_{false};
  std::thread sender_;
};

}  // namespace

TEST_CASE("linear: few rows without a gradient are the same in any company", "[matmul]") {
  const int64_t in = GENERATE(1, 7, 8, 33, 256), out = GENERATE(1, 5, 16, 300);
  CAPTURE(in, out);
  Generator generator(4);
  const auto numbers = [&](const Shape& shape) {
    return randn(shape, 0, 1, DType::float32, generator);
  };
  const Tensor x = numbers({63, in}), weight = numbers({out, in}), bias = numbers({out});
  const auto product = [&](int64_t begin, int64_t end) {
    return linear(x.slice(begin, end), weight, bias, Activation::relu);
  };
  const Tensor all = with_threads(3, [&] { return product(0, 63); });
  const Tensor exact = linear(x.to(DType::float64), weight.to(DType::float64),
                              bias.to(DType::float64), Activation::relu);
  CHECK(max_difference(all, exact) < 1e-6 * std::sqrt(static_cast<double>(in)) * 8);
  for (const int64_t rows : {1, 2, 3, 4, 8, 31}) {
    const Tensor some = with_threads(1, [&] { return product(20, 20 + rows); });
    CHECK(max_difference(some, all.slice(20, 20 + rows)) == 0);
  }
}

TEST_CASE("matmul: signals find a thread on its own stack", "[matmul]") {
  const Threads one(1);  // only this thread gets signals
  const Tensor a = random({512, 256}, 1), b = random({256, 256}, 2);
  const std::vector<double> want = matmul(a, b).to_vector();
  {
    const Signals signals;
    while (Signals::count < 300) CHECK(matmul(a, b).to_vector() == want);
  }
  CHECK(Signals::strayed == 0);
}

TEST_CASE("matmul: float32 agrees with the definition", "[matmul]") {
  for (const auto& [M, K, N] : std::vector<std::array<int64_t, 3>>{{1, 1, 1},
                                                                   {3, 5, 2},
                                                                   {1, 513, 7},
                                                                   {513, 3, 1},
                                                                   {64, 64, 64},
                                                                   {700, 130, 60},
                                                                   {60, 130, 700},
                                                                   {33, 1000, 17}}) {
    const Tensor a = random({M, K}, 1), b = random({K, N}, 2);
    CAPTURE(M, K, N);
    CHECK(worst(matmul(a, b).to_vector(), plain_product(a, b)) < 1e-6 * K + 1e-5);
    const Tensor c = a.to(DType::float64), d = b.to(DType::float64);
    CHECK(worst(matmul(c, d).to_vector(), plain_product(c, d)) < 1e-12 * K);
  }
}

TEST_CASE("matmul: leading axes broadcast, vectors are rows and columns", "[matmul]") {
  const auto shape = [](const Shape& a, const Shape& b) {
    return matmul(Tensor::ones(a), Tensor::ones(b)).shape();
  };
  CHECK(shape({3}, {3}) == Shape{});
  CHECK(shape({3}, {3, 4}) == Shape{4});
  CHECK(shape({2, 3}, {3}) == Shape{2});
  CHECK(shape({5, 2, 3}, {3}) == Shape{5, 2});
  CHECK(shape({3}, {5, 3, 4}) == Shape{5, 4});
  CHECK(shape({5, 2, 3}, {3, 4}) == Shape{5, 2, 4});
  CHECK(shape({2, 3}, {5, 3, 4}) == Shape{5, 2, 4});
  CHECK(shape({7, 1, 2, 3}, {5, 3, 4}) == Shape{7, 5, 2, 4});

  // Every matrix of the result is the product of the matrices that it was broadcast from.
  for (const DType dtype : {DType::float32, DType::float64}) {
    const Tensor a = random({2, 1, 3, 4, 5}, 1, dtype), b = random({6, 1, 5, 2}, 2, dtype);
    const Tensor z = matmul(a, b);
    REQUIRE(z.shape() == Shape{2, 6, 3, 4, 2});
    for (int64_t i = 0; i < 2; ++i)
      for (int64_t j = 0; j < 6; ++j)
        for (int64_t k = 0; k < 3; ++k)
          CHECK(worst(z[i][j][k].to_vector(), plain_product(a[i][0][k], b[j][0])) < 1e-5);
  }
}

TEST_CASE("matmul: nothing to sum gives zeros, nothing to compute gives nothing", "[matmul]") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    const Tensor z = matmul(Tensor::zeros({2, 300, 0}, dtype), Tensor::zeros({2, 0, 4}, dtype));
    CHECK(z.to_vector() == std::vector<double>(2 * 300 * 4, 0.0));
    CHECK(matmul(Tensor::zeros({0, 3}, dtype), Tensor::zeros({3, 4}, dtype)).shape() ==
          Shape{0, 4});
    CHECK(matmul(Tensor::zeros({0, 2, 3}, dtype), Tensor::zeros({3, 4}, dtype)).shape() ==
          Shape{0, 2, 4});
    Tensor a = Tensor::zeros({0, 3}, dtype), b = Tensor::ones({3, 4}, dtype);
    a.set_requires_grad();
    b.set_requires_grad();
    matmul(a, b).backward(Tensor::zeros({0, 4}, dtype));
    CHECK(a.grad().shape() == Shape{0, 3});
    CHECK(b.grad().to_vector() == std::vector<double>(12, 0.0));
  }
}

TEST_CASE("matmul: gradients", "[matmul][grad]") {
  const auto op = [](const std::vector<Tensor>& in) { return matmul(in[0], in[1]); };
  const std::vector<std::pair<Shape, Shape>> shapes = {{{3}, {3}},
                                                       {{3}, {3, 4}},
                                                       {{2, 3}, {3}},
                                                       {{2, 3}, {3, 4}},
                                                       {{5, 2, 3}, {3, 4}},
                                                       {{5, 2, 3}, {3}},
                                                       {{3}, {5, 3, 4}},
                                                       {{2, 3}, {5, 3, 4}},
                                                       {{5, 2, 3}, {5, 3, 4}},
                                                       {{2, 1, 2, 3}, {3, 3, 2}},
                                                       {{1, 2, 3}, {4, 3, 2}},
                                                       {{4, 2, 3}, {1, 3, 2}}};
  for (const auto& [a, b] : shapes) {
    CAPTURE(a.str(), b.str());
    CHECK(gradient_error(op, {leaf(a, 1), leaf(b, 2)}) < 1e-6);
  }
}

TEST_CASE("matmul: float32 gradients agree with float64", "[matmul][grad]") {
  const std::vector<std::pair<Shape, Shape>> shapes = {
      {{700, 40}, {40, 90}}, {{12, 33, 40}, {40, 9}}, {{12, 33, 8}, {12, 8, 20}}};
  for (const auto& [a, b] : shapes) {
    CAPTURE(a.str(), b.str());
    const Tensor x = leaf(a, 1), y = leaf(b, 2);
    Tensor u = x.detach().to(DType::float32), v = y.detach().to(DType::float32);
    u.set_requires_grad();
    v.set_requires_grad();
    const Tensor z = matmul(x, y);
    const Tensor dz = random(z.shape(), 3, DType::float64);
    z.backward(dz);
    matmul(u, v).backward(dz.to(DType::float32));
    CHECK(max_difference(x.grad(), u.grad().to(DType::float64)) < 1e-3);
    CHECK(max_difference(y.grad(), v.grad().to(DType::float64)) < 1e-3);
  }
}

TEST_CASE("matmul: the same for any number of threads", "[matmul]") {
  CHECK(same_for_any_threads([] {
    Tensor a = random({1030, 130}, 1), b = random({130, 250}, 2);
    a.set_requires_grad();
    b.set_requires_grad();
    const Tensor z = matmul(a, b);
    z.backward(random(z.shape(), 3));
    return joined({z, a.grad(), b.grad()});
  }));
  CHECK(same_for_any_threads([] {
    return matmul(random({90, 64, 32}, 1), random({90, 32, 64}, 2)).to_vector();
  }));
}

TEST_CASE("matmul: NaN and infinity propagate", "[matmul]") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    Tensor a = Tensor::ones({40, 40}, dtype), b = Tensor::ones({40, 40}, dtype);
    a.slice(3, 4).fill_(NAN);
    b.slice(7, 8).fill_(INFINITY);
    const std::vector<double> z = matmul(a, b).to_vector();
    CHECK(std::isnan(z[3 * 40 + 5]));
    CHECK(z[4 * 40 + 5] == INFINITY);
  }
}

TEST_CASE("matmul: errors", "[matmul]") {
  const auto of = [](const Shape& a, const Shape& b) {
    return error_of<ShapeError>([&] { matmul(Tensor::ones(a), Tensor::ones(b)); });
  };
  CHECK(of({2, 3}, {4, 5}) ==
        "matmul: the last axis of a must be as long as the last but one of b, got a [2, 3] and b "
        "[4, 5]");
  CHECK(of({2, 3}, {4}) ==
        "matmul: the last axis of a must be as long as the axis of b, got a [2, 3] and b [4]");
  CHECK(of({}, {3}) == "matmul: operands must have at least one axis, got [] and [3]");
  CHECK(of({2, 4, 3}, {5, 3, 4}) ==
        "matmul, leading axes: shapes [2] and [5] do not broadcast: their lengths 2 and 5 on axis "
        "-1 must be equal or one of them 1");
  CHECK_THROWS_AS(matmul(Tensor::ones({2, 2}), Tensor::ones({2, 2}, DType::float64)), DtypeError);
  CHECK_THROWS_AS(matmul(Tensor::ones({2, 2}, DType::int32), Tensor::ones({2, 2}, DType::int32)),
                  DtypeError);
}

// Of float32: sums of some hundred products of normal numbers, which cancel to about 1.
constexpr double kLongSums = 5e-5;

TEST_CASE("matmul: the GPU agrees with the CPU", "[matmul][cuda]") {
  const auto op = [](const std::vector<Tensor>& in) { return matmul(in[0], in[1]); };
  const std::vector<std::pair<Shape, Shape>> shapes = {{{3}, {3}},
                                                       {{3}, {3, 4}},
                                                       {{2, 3}, {3}},
                                                       {{1, 1}, {1, 1}},
                                                       {{1, 513}, {513, 7}},
                                                       {{513, 3}, {3, 1}},
                                                       {{70, 513}, {513}},
                                                       {{65, 33}, {33, 70}},
                                                       {{5, 2, 3}, {3, 4}},
                                                       {{5, 2, 3}, {3}},
                                                       {{5, 2, 3}, {5, 3, 4}},
                                                       {{9, 40, 17}, {9, 17, 1}},
                                                       {{3, 2, 5, 7}, {3, 2, 7, 5}},
                                                       {{0, 3}, {3, 4}},
                                                       {{4, 0}, {0, 3}},
                                                       {{2, 70, 0}, {2, 0, 4}},
                                                       {{0, 2, 3}, {3, 4}}};
  for (const auto& [a, b] : shapes) {
    CAPTURE(a.str(), b.str());
    const std::vector<Tensor> inputs = {leaf(a, 1), leaf(b, 2)};
    CHECK(cuda_difference(op, inputs) < 1e-12);
    CHECK(cuda_difference(op, inputs, DType::float32) < kLongSums);
    CHECK(cuda_difference(op, inputs, DType::bfloat16) < 1.0 / 256);
  }
}

TEST_CASE("matmul: the GPU broadcasts as the CPU does", "[matmul][cuda]") {
  const auto op = [](const std::vector<Tensor>& in) { return matmul(in[0], in[1]); };
  for (const auto& [a, b] : std::vector<std::pair<Shape, Shape>>{{{3}, {5, 3, 4}},
                                                                 {{2, 3}, {5, 3, 4}},
                                                                 {{2, 1, 2, 3}, {3, 3, 2}},
                                                                 {{1, 2, 3}, {4, 3, 2}},
                                                                 {{4, 2, 3}, {1, 3, 2}},
                                                                 {{2, 1, 3, 4, 5}, {6, 1, 5, 2}},
                                                                 {{2, 1, 2, 0}, {3, 0, 2}}}) {
    CAPTURE(a.str(), b.str());
    const std::vector<Tensor> inputs = {leaf(a, 1), leaf(b, 2)};
    CHECK(cuda_difference(op, inputs) < 1e-12);
    CHECK(cuda_difference(op, inputs, DType::float32) < 1e-5);
  }
}

TEST_CASE("matmul: the GPU takes addresses of any alignment", "[matmul][cuda]") {
  const auto op = [](const std::vector<Tensor>& in) {
    return matmul(in[0].slice(1, 8), in[1].slice(1, 6));
  };
  for (const int64_t n : {1, 3, 4, 34}) {
    CAPTURE(n);
    const std::vector<Tensor> inputs = {leaf({8, 5}, 1), leaf({6, n}, 2)};
    CHECK(cuda_difference(op, inputs) < 1e-12);
    CHECK(cuda_difference(op, inputs, DType::float32) < 1e-5);
    CHECK(cuda_difference(op, inputs, DType::bfloat16) < 1.0 / 256);
  }
}

TEST_CASE("matmul: operands stay on one device", "[matmul][cuda]") {
  if (!test::has_device()) return;
  const Tensor x = Tensor::ones({2, 3}), there = x.to(Device::cuda);
  CHECK(error_of<DeviceError>([&] {
          matmul(there, Tensor::ones({3, 2}));
        }) == "matmul: operands must be on one device, got cuda and cpu");
  CHECK(error_of<DeviceError>([&] { linear(there, x); }) ==
        "linear: operands must be on one device, got cuda and cpu");
  CHECK(error_of<DeviceError>([&] { linear(there, there, Tensor::ones({2})); }) ==
        "linear: operands must be on one device, got cuda and cpu");
}

TEST_CASE("matmul: TF32 is off until it is turned on", "[matmul][cuda]") {
  CHECK_FALSE(cuda::tf32_allowed());
  if (!test::has_device()) return;
  // cuBLASLt may multiply small or odd matrices in full precision all the same.
  const Tensor a = random({128, 128}, 1), b = random({128, 64}, 2);
  const std::vector<double> want = plain_product(a, b);
  const auto error = [&] {
    return worst(matmul(a.to(Device::cuda), b.to(Device::cuda)).to_vector(), want);
  };
  CHECK(error() < 1e-4);
  cuda::set_allow_tf32(true);
  CHECK(cuda::tf32_allowed());
  const double rounded = error();
  cuda::set_allow_tf32(false);
  CHECK(rounded < 5e-2);
  CHECK(error() < 1e-4);
  if (cuda::properties().major >= 8) CHECK(rounded > 1e-4);
}

TEST_CASE("matmul: the GPU gives the same bits every time", "[matmul][linear][cuda]") {
  if (!test::has_device()) return;
  const auto run = [] {
    Tensor x = random({700, 33}, 1).to(Device::cuda), w = random({50, 33}, 2).to(Device::cuda),
           b = random({50}, 3).to(Device::cuda);
    for (Tensor* t : {&x, &w, &b}) t->set_requires_grad();
    const Tensor z = linear(x, w, b, Activation::gelu);
    z.backward(random(z.shape(), 4).to(Device::cuda));
    return joined({z, x.grad(), w.grad(), b.grad()});
  };
  const std::vector<double> first = run();
  CHECK(run() == first);
}

TEST_CASE("linear: the GPU agrees with the CPU", "[linear][cuda]") {
  for (const Activation activation : {Activation::none, Activation::relu, Activation::gelu,
                                      Activation::tanh, Activation::sigmoid}) {
    const auto op = [&](const std::vector<Tensor>& in) {
      return linear(in[0], in[1], in.size() > 2 ? in[2] : Tensor(), activation);
    };
    for (const auto& [x, w] : std::vector<std::pair<Shape, Shape>>{{{1}, {1, 1}},
                                                                   {{33}, {5, 33}},
                                                                   {{1, 3}, {513, 3}},
                                                                   {{513, 3}, {1, 3}},
                                                                   {{32, 80}, {10, 80}},
                                                                   {{7, 100, 5}, {12, 5}},
                                                                   {{300, 9}, {160, 9}},
                                                                   {{0, 3}, {4, 3}},
                                                                   {{3, 0}, {4, 0}},
                                                                   {{3, 4}, {0, 4}}}) {
      CAPTURE(name_of(activation), x.str(), w.str());
      const std::vector<Tensor> inputs = {leaf(x, 1), leaf(w, 2), leaf({w[0]}, 3)};
      CHECK(cuda_difference(op, inputs) < 1e-12);
      CHECK(cuda_difference(op, inputs, DType::float32) < kLongSums);
      CHECK(cuda_difference(op, {inputs[0], inputs[1]}) < 1e-12);
    }
  }
}

TEST_CASE("linear: the GPU takes addresses of any alignment", "[linear][cuda]") {
  for (const Activation activation : {Activation::none, Activation::relu, Activation::gelu}) {
    const auto op = [&](const std::vector<Tensor>& in) {
      return linear(in[0].slice(1, 4), in[1].slice(1, 9), in[2].slice(1, 9), activation);
    };
    for (const int64_t n : {3, 8}) {
      CAPTURE(name_of(activation), n);
      const std::vector<Tensor> inputs = {leaf({4, n}, 1), leaf({9, n}, 2), leaf({9}, 3)};
      CHECK(cuda_difference(op, inputs) < 1e-12);
      CHECK(cuda_difference(op, inputs, DType::float32) < 1e-5);
    }
  }
}

TEST_CASE("linear: the GPU computes the gradients that are wanted", "[linear][cuda]") {
  for (int wanted = 1; wanted < 8; ++wanted) {
    const auto op = [](const std::vector<Tensor>& in) {
      return linear(in[0], in[1], in[2], Activation::tanh);
    };
    std::vector<Tensor> inputs = {leaf({70, 5}, 1), leaf({6, 5}, 2), leaf({6}, 3)};
    for (size_t i = 0; i < 3; ++i) inputs[i] = inputs[i].detach();
    for (size_t i = 0; i < 3; ++i)
      if (wanted >> i & 1) inputs[i].set_requires_grad();
    CAPTURE(wanted);
    CHECK(cuda_difference(op, inputs) < 1e-12);
  }
}

TEST_CASE("linear: NaN and infinity pass through the GPU's activations", "[linear][cuda]") {
  for (const Activation activation : {Activation::none, Activation::relu, Activation::gelu,
                                      Activation::tanh, Activation::sigmoid}) {
    for (const DType dtype : {DType::float32, DType::float64}) {
      CAPTURE(name_of(activation), dtype);
      const Tensor x = Tensor::of<double>({4, 2}, {NAN, 1, INFINITY, 1, -INFINITY, 1, 2, 3});
      const auto op = [&](const std::vector<Tensor>& in) {
        return linear(in[0], in[1], in[2], activation);
      };
      Tensor w = Tensor::of<double>({3, 2}, {1, 2, 3, 1, 2, 1}),
             b = Tensor::of<double>({3}, {1, 2, 3});
      CHECK(cuda_difference(op, {x, w, b}, dtype) < 1e-5);
    }
  }
}

TEST_CASE("linear: is act(x weight^T + bias)", "[linear]") {
  const std::vector<Activation> activations = {Activation::none, Activation::relu, Activation::gelu,
                                               Activation::tanh, Activation::sigmoid};
  for (const DType dtype : {DType::float32, DType::float64}) {
    // The last is cut along its columns.
    for (const auto& [x_shape, out] : std::vector<std::pair<Shape, int64_t>>{{{7}, 5},
                                                                             {{3, 7}, 5},
                                                                             {{2, 3, 17}, 13},
                                                                             {{20, 40}, 37},
                                                                             {{600, 140}, 60},
                                                                             {{5, 900}, 1100}}) {
      const Tensor x = random(x_shape, 1, dtype), w = random({out, x_shape[-1]}, 2, dtype),
                   b = random({out}, 3, dtype);
      const Tensor pre = matmul(x, transpose(w)) + b;
      const std::vector<Tensor> want = {pre, relu(pre), gelu(pre), tanh(pre), sigmoid(pre)};
      for (size_t i = 0; i < activations.size(); ++i) {
        CAPTURE(dtype, x_shape.str(), name_of(activations[i]));
        CHECK(max_difference(linear(x, w, b, activations[i]), want[i]) < 1e-3);
      }
      CHECK(max_difference(linear(x, w), matmul(x, transpose(w))) < 1e-3);
    }
  }
}

TEST_CASE("linear: gradients", "[linear][grad]") {
  for (const Activation activation : {Activation::none, Activation::relu, Activation::gelu,
                                      Activation::tanh, Activation::sigmoid}) {
    CAPTURE(name_of(activation));
    const auto op = [&](const std::vector<Tensor>& in) {
      return linear(in[0], in[1], in.size() > 2 ? in[2] : Tensor(), activation);
    };
    CHECK(gradient_error(op, {leaf({2, 3, 5}, 1), leaf({4, 5}, 2), leaf({4}, 3)}) < 1e-6);
    CHECK(gradient_error(op, {leaf({5}, 1), leaf({4, 5}, 2)}) < 1e-6);
    CHECK(gradient_error(op, {leaf({0, 5}, 1), leaf({4, 5}, 2), leaf({4}, 3)}) < 1e-6);
    CHECK(gradient_error(op, {leaf({3, 5}, 1).detach(), leaf({4, 5}, 2), leaf({4}, 3)}) < 1e-6);
    CHECK(gradient_error(op, {leaf({3, 5}, 1), leaf({4, 5}, 2).detach(), leaf({4}, 3)}) < 1e-6);
  }
}

TEST_CASE("linear: float32 gradients agree with float64, for any number of threads",
          "[linear][grad]") {
  for (const Activation activation : {Activation::none, Activation::relu, Activation::gelu}) {
    CAPTURE(name_of(activation));
    const auto run = [&](DType dtype) {
      std::vector<Tensor> in = {random({1100, 130}, 1).to(dtype), random({70, 130}, 2).to(dtype),
                                random({70}, 3).to(dtype)};
      for (Tensor& t : in) t.set_requires_grad();
      linear(in[0], in[1], in[2], activation).backward(random({1100, 70}, 4).to(dtype));
      return joined({in[0].grad(), in[1].grad(), in[2].grad()});
    };
    CHECK(worst(run(DType::float32), run(DType::float64)) < 2e-3);
    CHECK(same_for_any_threads([&] { return run(DType::float32); }));
  }
}

TEST_CASE("linear: in place changes of what backward needs are found", "[linear]") {
  Tensor x = random({2, 3}, 1), w = random({4, 3}, 2);
  w.set_requires_grad();
  // x needs no gradient: the weight may change before backward, x may not.
  const Tensor z = linear(x, w);
  w.fill_(1);
  CHECK_NOTHROW(z.backward(Tensor::ones({2, 4})));
  const Tensor again = linear(x, w);
  x.fill_(1);
  CHECK_THROWS_AS(again.backward(Tensor::ones({2, 4})), GradError);
}

TEST_CASE("linear: dz stays as it was", "[linear]") {
  for (const Activation activation : {Activation::none, Activation::relu}) {
    Tensor x = random({3, 4}, 1), w = random({5, 4}, 2);
    w.set_requires_grad();
    const Tensor dz = random({3, 5}, 3), copy = dz.clone();
    linear(x, w, {}, activation).backward(dz);
    CHECK(max_difference(dz, copy) == 0);
  }
}

TEST_CASE("linear: errors", "[linear]") {
  const auto of = [](const Shape& x, const Shape& w, const Shape& b) {
    return error_of<ShapeError>([&] { linear(Tensor::ones(x), Tensor::ones(w), Tensor::ones(b)); });
  };
  CHECK(of({2, 3}, {4, 5}, {4}) ==
        "linear: the last axis of x [2, 3] must be 5 long for weight [4, 5]");
  CHECK(of({2, 5}, {4, 5}, {5}) == "linear: bias must be [4] for weight [4, 5], got [5]");
  CHECK(of({2, 5}, {5}, {5}) == "linear: weight must be [out, in], got [5]");
  CHECK(of({}, {4, 5}, {4}) == "linear: x must have at least one axis, got a scalar");
  CHECK_THROWS_AS(linear(Tensor::ones({2, 3}), Tensor::ones({4, 3}, DType::float64)), DtypeError);
  CHECK_THROWS_AS(
      linear(Tensor::ones({2, 3}), Tensor::ones({4, 3}), Tensor::ones({4}, DType::float64)),
      DtypeError);
  CHECK_THROWS_AS(linear(Tensor::ones({2, 3}, DType::int64), Tensor::ones({4, 3}, DType::int64)),
                  DtypeError);
}
