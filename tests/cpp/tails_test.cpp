#include <functional>

#include "catch.h"
#include "norm_exact.h"
#include "norm_inputs.h"

// Rows that are no multiple of a vector's lanes: what lies in the idle lanes of the last vector
// enters no sum. NORMLAB_ISA picks the instruction set.

using namespace normlab;
using namespace normlab::test;

namespace {

std::vector<int64_t> all_lengths() {
  std::vector<int64_t> all;
  for (int64_t H = 1; H <= 100; ++H) all.push_back(H);
  for (int64_t H = 395; H <= 1030; H += H < 430 || H > 1000 ? 1 : 61) all.push_back(H);
  return all;
}

/// Rows of both signs, or around `mean`, all of one sign if that is large.
Tensor rows_around(double mean, int64_t rows, int64_t H, DType dtype = DType::float32) {
  Generator generator(static_cast<uint64_t>(H));
  return randn({rows, H}, mean, 1, DType::float64, generator).to(dtype);
}

/// Of float32 rows, per unit of what rounding x alone does to y.
double tolerance_at(double mean) {
  return 1e-5 + std::abs(mean) * 1e-10;
}

std::vector<double> gradient_of(const Tensor& x, const std::function<Tensor(const Tensor&)>& f) {
  Tensor own = x.detach().clone().set_requires_grad();
  f(own).backward();
  return own.grad().to_vector();
}

/// f's value and gradient in float32 are those in float64 of the same numbers.
void check_same(const Tensor& x, double tolerance, const std::function<Tensor(const Tensor&)>& f) {
  const Tensor wide = x.to(DType::float64);
  const auto close = [&](const std::vector<double>& got, const std::vector<double>& want) {
    double size = 1;
    for (const double v : want) size = std::max(size, std::abs(v));
    for (size_t i = 0; i < want.size(); ++i)
      if (!(std::abs(got[i] - want[i]) <= tolerance * size)) return false;
    return got.size() == want.size();
  };
  CHECK(close(f(x).to_vector(), f(wide).to_vector()));
  CHECK(close(gradient_of(x, f), gradient_of(wide, f)));
}

}  // namespace

TEST_CASE("tails: every variant at every length, with large means of both signs", "[norm][tails]") {
  const double mean = GENERATE(0.0, 1e4, -1e4, 1e6, -1e6);
  for (const NormTraits& v : kNormVariants) {
    if (v.group != Group::row || !v.has_statistics()) continue;
    for (const int64_t H : all_lengths()) {
      const Tensor x = rows_around(mean, 5, H), dz = rows_around(0.3, 5, H);
      Tensor leaf = x.detach().clone().set_requires_grad();
      const Tensor z = normalize(leaf, v);
      z.backward(dz);
      const std::vector<double> got_z = z.to_vector(), got_dx = leaf.grad().to_vector();
      for (const int64_t r : {0, 4}) {  // of four rows at once, and alone
        ExactRow e{v};
        e.run(row_of(x.to_vector(), r, H), row_of(dz.to_vector(), r, H), {}, {});
        const long double tolerance = tolerance_at(mean) * (v.clamp ? 4 : 1);
        CAPTURE(std::string(v.name), mean, H, r);
        REQUIRE(
            all_close(row_of<double>(got_z, r, H), e.z, tolerance * greatest(e.z), DType::float32));
        REQUIRE(
            all_close(row_of<double>(got_dx, r, H), e.dx, tolerance * e.dx_size, DType::float32));
      }
    }
  }
}

TEST_CASE("tails: groups of channels, one gain a row, and parameters' gradients", "[norm][tails]") {
  const double mean = GENERATE(0.0, 1e4, -1e4);
  for (const std::string name : {"batchnorm", "groupnorm", "instancenorm", "scalenorm"})
    for (const int64_t S : all_lengths()) {
      if (S < 2) continue;
      CAPTURE(name, mean, S);
      const NormTraits& v = norm_variant(name);
      const auto with = [&](const Tensor& x, int which) {
        NormInputs o;
        o.axes = v.scalar_gain ? 1 : 2;
        const int64_t width = v.scalar_gain ? 1 : 4;
        o.gain = Tensor::full({width}, 1.5, x.dtype()).set_requires_grad();
        if (!v.scalar_gain) o.bias = Tensor::zeros({width}, x.dtype()).set_requires_grad();
        const Tensor z = normalize(x, v, o);
        if (which == 0) return z;
        Generator generator(9);
        z.backward(randn(z.shape(), 0.5, 1, DType::float64, generator).to(x.dtype()));
        return which == 1 || v.scalar_gain ? o.gain.grad() : o.bias.grad();
      };
      Generator generator(static_cast<uint64_t>(S));
      const Tensor x = randn({3, 4, S}, mean, 1, DType::float64, generator).to(DType::float32);
      const Tensor wide = x.to(DType::float64);
      for (const int which : {0, 1, 2}) {
        const std::vector<double> got = with(x, which).to_vector(),
                                  want = with(wide, which).to_vector();
        double size = 1;
        for (const double w : want) size = std::max(size, std::abs(w));
        double most = 0;
        for (size_t i = 0; i < want.size(); ++i) most = std::max(most, std::abs(got[i] - want[i]));
        REQUIRE(most <= 2 * tolerance_at(mean) * size);
      }
    }
}

TEST_CASE("tails: reductions, softmax and losses at every length",
          "[reduce][softmax][loss][tails]") {
  const double mean = GENERATE(0.0, 1e3, -1e3);
  for (const int64_t H : all_lengths()) {
    CAPTURE(mean, H);
    const Tensor x = rows_around(mean, 3, H);
    Generator generator(11);
    const Tensor weights = randn({3, H}, 0, 1, DType::float64, generator);
    const auto probed = [&](const Tensor& z) { return sum(z * weights.to(z.dtype())); };
    check_same(x, 1e-5, [](const Tensor& t) { return sum(sum(t, {1})); });
    check_same(x, 1e-6, [](const Tensor& t) { return sum(normlab::mean(t, {1})); });
    check_same(x, 1e-5, [&](const Tensor& t) { return probed(softmax(t, -1)); });
    check_same(x, 1e-5, [&](const Tensor& t) { return probed(log_softmax(t, -1)); });
    check_same(x, 1e-5, [](const Tensor& t) { return sum(max(t, 1)); });
    if (H > 1)
      check_same(x, 2e-5 + std::abs(mean) * 1e-7, [](const Tensor& t) { return sum(var(t, {1})); });
    const Tensor classes = Tensor::zeros({3}, DType::int64);
    for (const double smoothing : {0.0, 0.1})
      check_same(x, 1e-5, [&](const Tensor& t) {
        CrossEntropyOptions o;
        o.label_smoothing = smoothing;
        return cross_entropy(t, classes, o);
      });
  }
}

TEST_CASE("tails: attention, row moments, norms of gradients and means of segments", "[tails]") {
  const double mean = GENERATE(0.0, 30.0, -30.0);
  for (const int64_t n : all_lengths()) {
    CAPTURE(mean, n);
    const Tensor x = rows_around(mean, 3, n);
    const RowMoments got = row_moments(x, n), want = row_moments(x.to(DType::float64), n);
    CHECK(std::abs(got.mean - want.mean) <= 1e-5);
    CHECK(std::abs(got.row_var - want.row_var) <= 1e-4 * (1 + want.row_var));
    Tensor leaf = Tensor::zeros({3, n}).set_requires_grad();
    leaf.backward(x);
    const double norm = std::sqrt(sum(x.to(DType::float64) * x.to(DType::float64)).item());
    CHECK(std::abs(optim::clip_grad_norm({leaf}, 1e30).item() - norm) <= 1e-5 * (1 + norm));
    if (n <= 100 || n % 97 == 0) {  // n tokens of 3 numbers; n numbers of 3 tokens
      const Tensor tokens = rows_around(0, n, 9), wide = rows_around(0, 3, 3 * n) / 8;
      for (const Tensor& qkv : {tokens, wide})
        check_same(qkv, 1e-5, [](const Tensor& t) {
          const Tensor offsets = Tensor::of<int64_t>({2}, {0, t.size(0)});
          return sum(attention(t, offsets, 1));
        });
    }
  }
}
