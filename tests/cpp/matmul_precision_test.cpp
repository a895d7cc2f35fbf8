#include <cmath>
#include <thread>

#include "catch.h"
#include "core/bfloat16_products.h"
#include "kernel_checks.h"
#include "normlab/matmul_precision.h"
#include "ops/matmul.h"

using namespace normlab;
using namespace normlab::test;

namespace {

constexpr MatmulPrecision kBfloat16 = MatmulPrecision::bfloat16;

/// x rounded to bfloat16, as float64: off the tape.
Tensor rounded(const Tensor& x) {
  return x.detach().to(DType::bfloat16).to(DType::float64);
}

/// The greatest difference relative to the greatest of `want`.
double relative(const Tensor& got, const Tensor& want) {
  double scale = 1e-30;
  for (const double value : want.to_vector()) scale = std::max(scale, std::abs(value));
  return worst(got.to_vector(), want.to_vector()) / scale;
}

/// An op's result and gradients.
struct Pass {
  Tensor z;
  std::vector<Tensor> grads;
};

/// Runs f forward at a precision, backward outside of its scope.
template <class F>
Pass pass_of(MatmulPrecision precision, std::vector<Tensor> inputs, const Tensor& dz, const F& f) {
  for (Tensor& x : inputs) x = x.detach().set_requires_grad();
  Pass pass;
  {
    const MatmulPrecisionScope scope(precision);
    pass.z = f(inputs);
  }
  pass.z.backward(dz.to(pass.z.dtype()));
  for (const Tensor& x : inputs) pass.grads.push_back(x.grad());
  return pass;
}

/// f's products take rounded inputs: z of rounded inputs, and with dz rounded their gradients, are
/// the same in float64, which knows no precision. What was not rounded would be 1e-3 off.
template <class F>
void check_products(const std::vector<Tensor>& inputs, const F& f) {
  const auto shape = f(inputs).shape();
  const Tensor dz = random(shape, 99);
  std::vector<Tensor> exact;
  for (const Tensor& x : inputs) exact.push_back(rounded(x));
  const Pass got = pass_of(kBfloat16, inputs, dz, f);
  const Pass want = pass_of(MatmulPrecision::float32, exact, rounded(dz), f);
  const Pass plain = pass_of(MatmulPrecision::float32, inputs, dz, f);
  CHECK(relative(got.z, want.z) < 2e-6);
  CHECK(relative(plain.z, want.z) > 1e-5);
  for (size_t i = 0; i < inputs.size(); ++i) {
    INFO("input " << i);
    CHECK(relative(got.grads[i], want.grads[i]) < 4e-6);
    CHECK(relative(plain.grads[i], want.grads[i]) > 1e-5);
  }
  CHECK(same_for_any_threads([&] {
    const Pass again = pass_of(kBfloat16, inputs, dz, f);
    std::vector<Tensor> all = again.grads;
    all.push_back(again.z);
    return joined(all);
  }));
}

}  // namespace

TEST_CASE("matmul_precision: of the process, of a thread, of nested scopes", "[precision]") {
  CHECK(matmul_precision() == MatmulPrecision::float32);
  set_matmul_precision(kBfloat16);
  CHECK(matmul_precision() == kBfloat16);
  MatmulPrecision elsewhere{}, inside{};
  {
    const MatmulPrecisionScope exact(MatmulPrecision::float32);
    CHECK(matmul_precision() == MatmulPrecision::float32);
    {
      const MatmulPrecisionScope short_again(kBfloat16);
      CHECK(matmul_precision() == kBfloat16);
    }
    CHECK(matmul_precision() == MatmulPrecision::float32);
    std::thread([&] { elsewhere = matmul_precision(); }).join();
  }
  set_matmul_precision(MatmulPrecision::float32);
  std::thread([&] {
    const MatmulPrecisionScope scope(kBfloat16);
    std::thread([&] { inside = matmul_precision(); }).join();
  }).join();
  CHECK(elsewhere == kBfloat16);
  CHECK(inside == MatmulPrecision::float32);
}

TEST_CASE("matmul_precision: names, and the error for any other", "[precision]") {
  for (const char* name : {"float32", "bfloat16"})
    CHECK(std::string(name_of(matmul_precision_named(name))) == name);
  CHECK(error_of<ArgumentError>([] { matmul_precision_named("tf32"); }) ==
        "matmul_precision: must be \"float32\" or \"bfloat16\", got \"tf32\"");
}

TEST_CASE("bfloat16 products: matmul, of one matrix and of many", "[precision]") {
  const auto product = [](const std::vector<Tensor>& in) { return matmul(in[0], in[1]); };
  // Small ones go to the engine's kernel, great ones to oneDNN, in several blocks.
  for (const auto& [a, b] : std::vector<std::pair<Shape, Shape>>{{{3, 5}, {5, 7}},
                                                                 {{300, 70}, {70, 513}},
                                                                 {{2, 3, 40, 33}, {3, 33, 65}},
                                                                 {{4, 90}, {90}}})
    check_products({random(a, 1), random(b, 2)}, product);
}

TEST_CASE("bfloat16 products: linear, whose bias and activation are float32", "[precision]") {
  const Tensor x = random({130, 70}, 1), weight = random({40, 70}, 2);
  check_products({x, weight}, [](const std::vector<Tensor>& in) {
    return linear(in[0], in[1], {}, Activation::relu);
  });
  const Tensor bias = random({40}, 3);
  const MatmulPrecisionScope scope(kBfloat16);
  const Tensor without = linear(x, weight, {}), with = linear(x, weight, bias);
  CHECK(worst(with.to_vector(), (without + bias).to_vector()) < 1e-6);
}

TEST_CASE("bfloat16 products: conv2d by the engine's kernel and by oneDNN", "[precision]") {
  for (const int padding : {0, 1}) {
    INFO("padding " << padding);
    Conv2dOptions options;
    options.padding_h = options.padding_w = padding;
    check_products(
        {random({9, 3, 12, 12}, 1), random({6, 3, 5, 5}, 2)},
        [&](const std::vector<Tensor>& in) { return conv2d(in[0], in[1], {}, options); });
  }
}

TEST_CASE("bfloat16 products: the gradient of conv2d's bias is not rounded", "[precision]") {
  const Tensor x = random({9, 1, 12, 12}, 1), weight = random({6, 1, 5, 5}, 2),
               bias = random({6}, 3), dz = random({9, 6, 8, 8}, 4);
  const auto convolve = [](const std::vector<Tensor>& in) { return conv2d(in[0], in[1], in[2]); };
  const Pass got = pass_of(kBfloat16, {x, weight, bias}, dz, convolve);
  CHECK(relative(got.grads[2], sum(dz.to(DType::float64), {0, 2, 3})) < 1e-6);
}

TEST_CASE("bfloat16 products: attention rounds its weights too", "[precision]") {
  const Tensor qkv = random({61, 96}, 1), dz = random({61, 32}, 2);
  const Tensor offsets = Tensor::of<int64_t>({4}, {0, 1, 20, 61});
  const auto attend = [&](const std::vector<Tensor>& in) { return attention(in[0], offsets, 2); };
  const Pass got = pass_of(kBfloat16, {qkv}, dz, attend);
  const Pass want = pass_of(MatmulPrecision::float32, {rounded(qkv)}, rounded(dz), attend);
  // Of the weights each is off by at most 2^-9.
  CHECK(relative(got.z, want.z) < 1.0 / 512);
  CHECK(relative(got.grads[0], want.grads[0]) < 1.0 / 128);
  // A sentence of one word has one weight, 1, which rounding leaves: z is the rounded value.
  for (int64_t i = 0; i < 32; ++i)
    CHECK(got.z.slice(0, 1).to_vector()[i] == rounded(qkv).slice(0, 1).to_vector()[64 + i]);
  CHECK(relative(got.z, want.z) > 1e-6);
  CHECK(same_for_any_threads([&] { return joined(pass_of(kBfloat16, {qkv}, dz, attend).grads); }));
}

TEST_CASE("bfloat16 products: the derivative keeps its forward pass's precision", "[precision]") {
  const Tensor a = random({70, 80}, 1), b = random({80, 90}, 2), dz = random({70, 90}, 3);
  const auto product = [](const std::vector<Tensor>& in) { return matmul(in[0], in[1]); };
  const Pass want = pass_of(MatmulPrecision::float32, {a, b}, dz, product);
  set_matmul_precision(kBfloat16);
  const Pass got = pass_of(MatmulPrecision::float32, {a, b}, dz, product);
  set_matmul_precision(MatmulPrecision::float32);
  CHECK(joined(got.grads) == joined(want.grads));
}

TEST_CASE("bfloat16 products: float64, and special values", "[precision]") {
  const Tensor a = random({40, 50}, 1, DType::float64), b = random({50, 60}, 2, DType::float64);
  const Tensor want = matmul(a, b);
  const MatmulPrecisionScope scope(kBfloat16);
  CHECK(matmul(a, b).to_vector() == want.to_vector());
  const Tensor one = Tensor::ones({1, 1});
  for (const float value : {INFINITY, -INFINITY, 3e38F, -0.0F, 1e-37F}) {
    const float expected = static_cast<float>(bfloat16(value));
    CHECK(matmul(Tensor::full({1, 1}, value), one).item() == expected);
  }
  CHECK(std::isnan(matmul(Tensor::full({1, 1}, NAN), one).item()));
  CHECK(matmul(Tensor::zeros({2, 0}), Tensor::zeros({0, 3})).to_vector() == std::vector<double>(6));
}

TEST_CASE("bfloat16 products: oneDNN's, of every layout", "[precision]") {
  if (!has_bfloat16_products()) {
    WARN("skipped: this processor has no AVX512-BF16");
    return;
  }
  for (const bool a_transposed : {false, true})
    for (const bool b_transposed : {false, true}) {
      const int64_t M = 67, N = 131, K = 45, batch = 2;
      const Tensor a = random({batch, M * K}, 1).to(DType::bfloat16);
      const Tensor b = random({K * N}, 2).to(DType::bfloat16);
      const Tensor got = Tensor::zeros({batch, M, N}), want = Tensor::zeros({batch, M, N});
      MatrixProduct p = product_of(a, b, got);
      p.a_transposed = a_transposed;
      p.b_transposed = b_transposed;
      p.M = M;
      p.N = N;
      p.K = K;
      p.batch = batch;
      p.a_step = M * K;
      p.bfloat16_operands = true;
      for (int64_t i = 0; i < batch; ++i)
        for (const ResultBlock& block : {ResultBlock{i, 0, 32, 0, N}, ResultBlock{i, 32, 35, 0, 64},
                                         ResultBlock{i, 32, 35, 64, 67}})
          matmul_bfloat16_onednn(p, block);
      const Tensor wide_a = a.to(DType::float32), wide_b = b.to(DType::float32);
      p.a = wide_a.raw();
      p.b = wide_b.raw();
      p.c = want.raw();
      p.bfloat16_operands = false;
      multiply("matmul", p);
      CHECK(relative(got, want) < 1e-6);
    }
}
