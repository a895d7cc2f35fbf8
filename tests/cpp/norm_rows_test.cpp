#include <memory>

#include "device.h"
#include "errors.h"
#include "norm_cases.h"
#include "threads.h"

// Kernels, extreme rows, the tape and errors.

using namespace normlab;
using namespace normlab::test;

TEST_CASE("norm: the fast kernels agree with double", "[norm]") {
  const NormTraits v = any_row_variant();
  const bool std_eps = GENERATE(false, true);
  const int64_t H = GENERATE(1, 2, 3, 16, 33, 128, 513, 1024, 9000);
  const int64_t rows = GENERATE(1, 7);
  CAPTURE(std::string(v.name), H, rows, std_eps);
  if (v.scale == Scale::none || (H == 1 && std_eps)) return;
  const Denominator d = std_eps ? Denominator::std_eps : Denominator::var_eps;
  const Case c = make_case(v, rows, H, DType::float32);
  const Case exact = to_double(c);
  const Results got = run(v, c, options_of(c, d)), want = run(v, exact, options_of(exact, d));
  check_close(got.z, want.z, 1e-5);
  // One element has no deviation: rounding is multiplied by rstd = 1 / sqrt(eps) = 316.
  check_close(got.dx, want.dx, H == 1 ? 1e-4 : 1e-5);
  check_close(got.dgain, want.dgain, 1e-5);
  check_close(got.dbias, want.dbias, 1e-5);
}
TEST_CASE("norm: a residual is added first", "[norm][cuda]") {
  const NormTraits v = GENERATE(from_range(std::begin(kNormVariants), std::end(kNormVariants)));
  const int64_t H = GENERATE(6, 513, 24000, 33000);
  CAPTURE(std::string(v.name), H);
  if (H > 513 && v.name != "layernorm") return;
  const Shape shape{3, 2, H / 2 + H % 2};
  Generator generator(19);
  const Tensor x = randn(shape, 1, 2, DType::float64, generator).set_requires_grad();
  const Tensor residual = randn(shape, 0, 1, DType::float64, generator).set_requires_grad();
  const auto op = [&](bool fused) {
    return [&, fused](const std::vector<Tensor>& in) {
      NormInputs o;
      o.axes = 2;
      if (!fused) return normalize(in[0] + in[1], v, o);
      return normalize_residual(in[0], in[1], v, o).first;
    };
  };
  const auto run_it = [&](const Op& f) {
    std::vector<Tensor> in{x.detach().clone().set_requires_grad(),
                           residual.detach().clone().set_requires_grad()};
    const Tensor z = f(in);
    Generator own(3);
    z.backward(randn(z.shape(), 0, 1, DType::float64, own));
    return std::vector<Tensor>{z.detach(), in[0].grad(), in[1].grad()};
  };
  const std::vector<Tensor> a = run_it(op(true)), b = run_it(op(false));
  for (size_t i = 0; i < a.size(); ++i) CHECK(max_difference(a[i], b[i]) == 0);

  if (!test::has_device() || v.group == Group::batch || v.scale == Scale::tanh ||
      v.scale == Scale::none || v.clamp)
    return;  // composed there, of ops that have tests of their own
  CHECK(cuda_difference(op(true), {x, residual}) < 1e-12);
  CHECK(cuda_difference(op(true), {x, residual}, DType::float32) < 2e-5);
  NormInputs o;
  o.axes = 2;
  const Tensor total =
      normalize_residual(x.detach().to(Device::cuda), residual.detach().to(Device::cuda), v, o)
          .second;
  CHECK(max_difference(total.to(Device::cpu), x.detach() + residual.detach()) == 0);
}

TEST_CASE("norm: results larger than the caches take the streaming kernels", "[norm]") {
  const NormTraits v = any_row_variant();
  CAPTURE(std::string(v.name));
  if (v.scale == Scale::none) return;
  const int64_t rows = 2600, H = 4096;  // 42 MB
  Generator generator(3);
  Case big;
  big.variant = v;
  big.x = randn({rows, H}, 0.5, 2, DType::float32, generator);
  big.dz = randn({rows, H}, 0, 1, DType::float32, generator);
  const int64_t width = v.scalar_gain ? 1 : H;
  if (v.takes_gain()) big.gain = randn({width}, 1, 0.3, DType::float32, generator);
  if (v.takes_bias()) big.bias = randn({width}, 0, 0.3, DType::float32, generator);
  const Results all = run(v, big, options_of(big));
  // The same rows, few at a time, stay in the caches; only the parameters' sums differ.
  const int64_t from = 1300;
  Case part = big;
  part.x = big.x.slice(from, from + 4).detach();
  part.dz = big.dz.slice(from, from + 4).detach();
  const Results few = run(v, part, options_of(part));
  CHECK(max_difference(all.z.slice(from, from + 4), few.z) == 0);
  CHECK(max_difference(all.dx.slice(from, from + 4), few.dx) == 0);
}

TEST_CASE("norm: huge means and constant rows", "[norm]") {
  const NormTraits v = any_row_variant();
  CAPTURE(std::string(v.name));
  if (v.scale != Scale::std) return;
  const Case c = make_case(v, 6, 257, DType::float32, 1e4);
  const Case exact = to_double(c);
  const Results got = run(v, c, options_of(c)), want = run(v, exact, options_of(exact));
  check_close(got.z, want.z, 1e-5);
  check_close(got.dx, want.dx, 1e-4);

  for (const double constant : {0.0, 1.0, 12345.678, -1e20}) {
    Case flat = make_case(v, 2, 100, DType::float32);
    flat.x = Tensor::full({2, 100}, constant);
    const Results r = run(v, flat, options_of(flat));
    for (const double e : r.dx.to_vector()) REQUIRE(std::isfinite(e));
    const Tensor y = normalize(flat.x, norm_variant("layernorm_simple"));
    for (const double e : y.to_vector()) REQUIRE(std::abs(e) < 1e-2);
  }
}

TEST_CASE("norm: NaN and infinity reach their own row only", "[norm]") {
  Case c = make_case(norm_variant("layernorm"), 3, 40, DType::float32);
  c.x.data<float>()[45] = std::numeric_limits<float>::quiet_NaN();
  const std::vector<double> z = normalize(c.x, norm_variant("layernorm")).to_vector();
  CHECK(std::all_of(z.begin(), z.begin() + 40, [](double e) { return std::isfinite(e); }));
  CHECK(std::all_of(z.begin() + 40, z.begin() + 80, [](double e) { return std::isnan(e); }));
  CHECK(std::all_of(z.begin() + 80, z.end(), [](double e) { return std::isfinite(e); }));
}

TEST_CASE("norm: zero rows, and rows of several axes", "[norm]") {
  for (const NormTraits& v : kNormVariants) {
    CAPTURE(std::string(v.name));
    Tensor x = Tensor::zeros({0, 8}).set_requires_grad();
    const Tensor z = normalize(x, v);
    CHECK(z.shape() == Shape{0, 8});
    z.backward(Tensor::zeros({0, 8}));
    CHECK(x.grad().shape() == Shape{0, 8});
  }
  const Case c = make_case(norm_variant("layernorm"), 4, 60, DType::float32);
  NormInputs flat = options_of(c), folded = options_of(c);
  folded.axes = 3;
  folded.gain = c.gain.reshape({3, 4, 5});
  folded.bias = c.bias.reshape({3, 4, 5});
  const Tensor a = normalize(c.x, norm_variant("layernorm"), flat);
  const Tensor b = normalize(c.x.reshape({4, 3, 4, 5}), norm_variant("layernorm"), folded);
  CHECK(max_difference(a, b.reshape({4, 60})) == 0);
}

TEST_CASE("norm: batchnorm keeps running statistics and uses them outside training", "[norm]") {
  const Tensor x = leaf({50, 3}, 5, 2, 1.5).to(DType::float32).detach();
  NormInputs o;
  o.running_mean = Tensor::zeros({3});
  o.running_var = Tensor::ones({3});
  o.momentum = 1.0;
  normalize(x, norm_variant("batchnorm"), o);
  check_close(o.running_mean, mean(x, {0}), 1e-5);
  check_close(o.running_var, var(x, {0}, false, 1), 1e-5);
  o.training = false;
  const Tensor want = (x - o.running_mean) / sqrt(o.running_var + 1e-5);
  check_close(normalize(x, norm_variant("batchnorm"), o), want, 1e-5);
}

TEST_CASE("norm: the same bits for any number of threads", "[norm]") {
  const NormTraits v = any_row_variant();
  CAPTURE(std::string(v.name));
  const Case c = make_case(v, 1000, 300, DType::float32);
  Results first;
  for (const int threads : {1, 2, 3, 7}) {
    const Results r = with_threads(threads, [&] { return run(v, c, options_of(c)); });
    if (!first.z) first = r;
    CHECK(max_difference(r.z, first.z) == 0);
    CHECK(max_difference(r.dx, first.dx) == 0);
    if (r.dgain) CHECK(max_difference(r.dgain, first.dgain) == 0);
    if (r.dbias) CHECK(max_difference(r.dbias, first.dbias) == 0);
  }
}

TEST_CASE("norm: errors say what was expected and what came", "[norm][errors]") {
  const Tensor x = Tensor::zeros({32, 128});
  NormInputs o;
  o.gain = Tensor::ones({512});
  CHECK(error_of<ShapeError>([&] { normalize(x, norm_variant("layernorm"), o); }) ==
        "normalize: gain must be [128] for x [32, 128], got [512] (variant 'layernorm')");
  o.gain = Tensor::ones({128});
  CHECK(error_of<ArgumentError>([&] { normalize(x, norm_variant("detachnorm"), o); }) ==
        "normalize: variant 'detachnorm' takes no gain");
  o.gain = Tensor::ones({128}, DType::float64);
  CHECK_THROWS_AS(normalize(x, norm_variant("layernorm"), o), DtypeError);
  CHECK_THROWS_AS(normalize(Tensor::zeros({2, 3}, DType::int64), norm_variant("layernorm")),
                  DtypeError);
  CHECK_THROWS_AS(normalize(Tensor::scalar(1), norm_variant("layernorm")), ShapeError);
  NormInputs unbiased;
  unbiased.denominator = Denominator::std_eps;
  CHECK_THROWS_AS(normalize(Tensor::zeros({4, 1}), norm_variant("layernorm"), unbiased),
                  ShapeError);
  NormInputs negative;
  negative.eps = -1;
  CHECK_THROWS_AS(normalize(x, norm_variant("layernorm"), negative), ArgumentError);
  NormInputs groups;
  groups.groups = 5;
  CHECK_THROWS_AS(normalize(x, norm_variant("groupnorm"), groups), ShapeError);
  CHECK_THROWS_AS(normalize(x, norm_variant("layernorm"), groups), ArgumentError);
  const NormTraits mixed{.name = "own", .scale = Scale::tanh, .output = Output::adaptive};
  CHECK(error_of<ArgumentError>([&] { normalize(x, mixed); }) ==
        "normalize: tanh goes with gain and bias only (variant 'own')");
  NormInputs eval;
  eval.training = false;
  CHECK_THROWS_AS(normalize(x, norm_variant("batchnorm"), eval), ArgumentError);
  CHECK(error_of<ArgumentError>([&] {
          normalize(Tensor::zeros({1, 8}), norm_variant("batchnorm"));
        }) ==
        "normalize: variant 'batchnorm' in training needs more than one value a channel, x is [1, "
        "8]; leave out a last batch of one row, or use eval()");
  CHECK(normalize(Tensor::zeros({0, 8}), norm_variant("batchnorm")).shape() == Shape{0, 8});
  const std::string unknown = error_of<ArgumentError>([] { norm_variant("layer_norm"); });
  CHECK(unknown.find("unknown variant 'layer_norm'") != std::string::npos);
  CHECK(unknown.find("layernorm_simple") != std::string::npos);
}

TEST_CASE("a variant of one's own need not outlive the call", "[norm]") {
  const Tensor x = leaf({4, 7}, 1), expected = leaf({4, 7}, 1);
  const Tensor dz = leaf({4, 7}, 2).detach();
  auto variant = std::make_unique<NormTraits>(norm_variant("detachnorm"));
  const Tensor z = normalize(x, *variant);
  *variant = norm_variant("adanorm");  // what lies there then is of no concern
  variant.reset();
  z.backward(dz);
  normalize(expected, norm_variant("detachnorm")).backward(dz);
  CHECK(max_difference(x.grad(), expected.grad()) == 0);
}
