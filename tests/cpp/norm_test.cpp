#include <algorithm>
#include <limits>

#include "catch.h"
#include "gradcheck.h"
#include "norm_oracle.h"

using namespace normlab;
using namespace normlab::test;

namespace {

bool has_gain(const NormTraits& v) {
  return v.output == Output::affine || v.output == Output::gain;
}
bool has_bias(const NormTraits& v) {
  return v.output == Output::affine || v.output == Output::bias;
}

std::vector<NormTraits> row_variants() {
  std::vector<NormTraits> rows;
  for (const NormTraits& v : kNormVariants)
    if (v.group == Group::row) rows.push_back(v);
  return rows;
}

NormTraits any_row_variant() {
  static const std::vector<NormTraits> all = row_variants();
  return all[static_cast<size_t>(GENERATE(range(0, 15)))];
}

struct Case {
  Tensor x, gain, bias, dz;
};

/// Random values of that dtype; the parameters that the variant takes.
Case make_case(const NormTraits& v, int64_t rows, int64_t H, DType dtype, double mean = 0) {
  Generator generator(7);
  Case c;
  c.x = randn({rows, H}, mean, 1.5, DType::float64, generator).to(dtype);
  c.dz = randn({rows, H}, 0, 1, DType::float64, generator).to(dtype);
  const int64_t width = v.scalar_gain ? 1 : H;
  if (has_gain(v)) c.gain = randn({width}, 1, 0.3, DType::float64, generator).to(dtype);
  if (has_bias(v)) c.bias = randn({width}, 0, 0.3, DType::float64, generator).to(dtype);
  return c;
}

NormOptions options_of(const Case& c, Denominator d = Denominator::var_eps) {
  NormOptions o;
  o.gain = c.gain;
  o.bias = c.bias;
  o.denominator = d;
  o.C = 1.5;
  return o;
}

struct Results {
  Tensor z, dx, dgain, dbias;
};

Results run(const NormTraits& v, Case c, NormOptions o) {
  c.x.set_requires_grad();
  if (o.gain) o.gain.set_requires_grad();
  if (o.bias) o.bias.set_requires_grad();
  const Tensor z = normalize(c.x, v, o);
  Results r;
  r.z = z.detach();
  z.backward(c.dz);
  r.dx = c.x.grad();
  r.dgain = o.gain.grad();
  r.dbias = o.bias.grad();
  for (Tensor* leaf : {&c.x, &o.gain, &o.bias}) leaf->zero_grad();
  return r;
}

/// The same case in double.
Case to_double(const Case& c) {
  const auto up = [](const Tensor& t) {
    return t ? t.detach().to(DType::float64).detach().clone() : Tensor();
  };
  return {up(c.x), up(c.gain), up(c.bias), up(c.dz)};
}

double scale_of(const Tensor& t) {
  double most = 1;
  for (double v : t.to_vector()) most = std::max(most, std::abs(v));
  return most;
}

void check_close(const Tensor& got, const Tensor& want, double tolerance) {
  REQUIRE(got.defined() == want.defined());
  if (got) CHECK(max_difference(got, want) <= tolerance * scale_of(want));
}

template <class E, class F>
std::string message_of(const F& f) {
  try {
    f();
  } catch (const E& e) {
    return e.what();
  }
  return "nothing was thrown";
}

}  // namespace

TEST_CASE("norm: forward of every row variant is the formula", "[norm]") {
  const NormTraits v = any_row_variant();
  const bool std_eps = GENERATE(false, true);
  const int64_t H = GENERATE(2, 3, 33, 513);
  CAPTURE(std::string(v.name), H, std_eps);
  const Case c = make_case(v, 5, H, DType::float64);
  const NormOptions o = options_of(c, std_eps ? Denominator::std_eps : Denominator::var_eps);
  const Oracle oracle{std::string(v.name), std_eps, 1e-5, 1.5, 0.1};
  check_close(normalize(c.x, v, o), oracle.rows(c.x, c.x, c.gain, c.bias), 1e-12);
}

TEST_CASE("norm: gradient of every row variant, detached parts frozen", "[norm][grad]") {
  const NormTraits v = any_row_variant();
  const bool std_eps = GENERATE(false, true);
  const int64_t H = GENERATE(2, 7, 33);
  CAPTURE(std::string(v.name), H, std_eps);
  const Case c = make_case(v, 3, H, DType::float64);
  std::vector<Tensor> inputs{c.x.clone().set_requires_grad()};
  if (c.gain) inputs.push_back(c.gain.clone().set_requires_grad());
  if (c.bias) inputs.push_back(c.bias.clone().set_requires_grad());
  const auto gain_in = [&](const std::vector<Tensor>& in) { return c.gain ? in[1] : Tensor(); };
  const auto bias_in = [&](const std::vector<Tensor>& in) { return c.bias ? in.back() : Tensor(); };
  const Op op = [&](const std::vector<Tensor>& in) {
    NormOptions o = options_of({in[0], gain_in(in), bias_in(in), {}},
                               std_eps ? Denominator::std_eps : Denominator::var_eps);
    return normalize(in[0], v, o);
  };
  const Oracle oracle{std::string(v.name), std_eps, 1e-5, 1.5, 0.1};
  const Op frozen = [&](const std::vector<Tensor>& in) {
    return oracle.rows(in[0], c.x, gain_in(in), bias_in(in));
  };
  CHECK(gradient_error(op, inputs, frozen) < 1e-6);
}

TEST_CASE("norm: topk routes the gradient through the clamp", "[norm][grad]") {
  const NormTraits& v = norm_variant("topk");
  const Case c = make_case(v, 2, 1000, DType::float64);  // clamps 5 on each side
  const Oracle oracle{"topk"};
  const Op op = [&](const std::vector<Tensor>& in) { return normalize(in[0], v, {}); };
  const Op frozen = [&](const std::vector<Tensor>& in) { return oracle.rows(in[0], c.x, {}, {}); };
  CHECK(gradient_error(op, {c.x.clone().set_requires_grad()}, frozen) < 1e-6);
}

TEST_CASE("norm: a naive difference rejects the right gradient of a detached variant", "[norm]") {
  const std::string name = GENERATE("detachnorm", "detach_mean", "adanorm", "gradnorm");
  CAPTURE(name);
  const NormTraits& v = norm_variant(name);
  const Case c = make_case(v, 3, 33, DType::float64);
  const Op op = [&](const std::vector<Tensor>& in) { return normalize(in[0], v, {}); };
  CHECK(gradient_error(op, {c.x.clone().set_requires_grad()}) > 0.01);
}

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

TEST_CASE("norm: the GPU agrees with the CPU", "[norm][cuda]") {
  const NormTraits v = any_row_variant();
  const bool std_eps = GENERATE(false, true);
  const int64_t H = GENERATE(1, 2, 3, 16, 33, 128, 513, 1024, 9000, 17000);
  const int64_t rows = GENERATE(1, 7);
  CAPTURE(std::string(v.name), H, rows, std_eps);
  if (H == 1 && std_eps) return;
  Case c = make_case(v, rows, H, DType::float64);
  std::vector<Tensor> inputs{c.x.set_requires_grad()};
  for (Tensor parameter : {c.gain, c.bias})
    if (parameter) inputs.push_back(parameter.set_requires_grad());
  const Op op = [&](const std::vector<Tensor>& in) {
    NormOptions o =
        options_of({in[0], {}, {}, {}}, std_eps ? Denominator::std_eps : Denominator::var_eps);
    if (c.gain) o.gain = in[1];
    if (c.bias) o.bias = in.back();
    return normalize(in[0], v, o);
  };
  CHECK(cuda_difference(op, inputs) < 1e-12);
  CHECK(cuda_difference(op, inputs, DType::float32) < (H == 1 ? 1e-4 : 2e-5));
  CHECK(cuda_difference(op, inputs, DType::bfloat16) < 1.0 / 256);
}

TEST_CASE("norm: results larger than the caches take the streaming kernels", "[norm]") {
  const NormTraits v = any_row_variant();
  CAPTURE(std::string(v.name));
  if (v.scale == Scale::none) return;
  const int64_t rows = 2600, H = 4096;  // 42 MB
  Generator generator(3);
  Case big;
  big.x = randn({rows, H}, 0.5, 2, DType::float32, generator);
  big.dz = randn({rows, H}, 0, 1, DType::float32, generator);
  const int64_t width = v.scalar_gain ? 1 : H;
  if (has_gain(v)) big.gain = randn({width}, 1, 0.3, DType::float32, generator);
  if (has_bias(v)) big.bias = randn({width}, 0, 0.3, DType::float32, generator);
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
  NormOptions flat = options_of(c), folded = options_of(c);
  folded.axes = 3;
  folded.gain = c.gain.reshape({3, 4, 5});
  folded.bias = c.bias.reshape({3, 4, 5});
  const Tensor a = normalize(c.x, norm_variant("layernorm"), flat);
  const Tensor b = normalize(c.x.reshape({4, 3, 4, 5}), norm_variant("layernorm"), folded);
  CHECK(max_difference(a, b.reshape({4, 60})) == 0);
}

TEST_CASE("norm: groups of channels are their formulas, forward and backward", "[norm][grad]") {
  const std::string name = GENERATE("batchnorm", "groupnorm", "instancenorm");
  const int64_t S = GENERATE(1, 5, 18);
  CAPTURE(name, S);
  if (name == "instancenorm" && S == 1) return;  // every y is 0
  const NormTraits& v = norm_variant(name);
  const int64_t C = 6, groups = name == "batchnorm" ? 0 : name == "groupnorm" ? 3 : C;
  const std::vector<Tensor> inputs{leaf({4, C, S}, 1), leaf({C}, 2, 1, 0.3), leaf({C}, 3)};
  const auto op_at = [&](DType dtype) {
    return [&, dtype](const std::vector<Tensor>& in) {
      NormOptions o;
      o.axes = 2;
      o.groups = name == "groupnorm" ? groups : 0;
      o.gain = in[1].to(dtype);
      o.bias = in[2].to(dtype);
      return normalize(in[0].to(dtype), v, o).to(DType::float64);
    };
  };
  const Op oracle = [&](const std::vector<Tensor>& in) {
    return Oracle{name}.channels(in[0], groups, in[1], in[2]);
  };
  check_close(op_at(DType::float64)(inputs), oracle(inputs), 1e-12);
  CHECK(gradient_error(op_at(DType::float64), inputs, oracle) < 1e-6);
  check_close(op_at(DType::float32)(inputs), oracle(inputs), 1e-5);
  CHECK(gradient_error(op_at(DType::float32), inputs, oracle) < 1e-4);
}

TEST_CASE("norm: dyt's alpha has its gradient", "[norm][grad]") {
  const std::vector<Tensor> inputs{leaf({4, 37}, 1), leaf({37}, 2, 1, 0.3), leaf({37}, 3),
                                   leaf({1}, 4, 0.7, 0.01)};
  const auto op_at = [&](DType dtype) {
    return [dtype](const std::vector<Tensor>& in) {
      NormOptions o;
      o.gain = in[1].to(dtype);
      o.bias = in[2].to(dtype);
      o.alpha = in[3].to(dtype);
      return normalize(in[0].to(dtype), norm_variant("dyt"), o).to(DType::float64);
    };
  };
  const Op oracle = [](const std::vector<Tensor>& in) {
    return Oracle{"dyt"}.rows(in[0], in[0], in[1], in[2], in[3].item());
  };
  check_close(op_at(DType::float64)(inputs), oracle(inputs), 1e-12);
  CHECK(gradient_error(op_at(DType::float64), inputs, oracle) < 1e-6);
  CHECK(gradient_error(op_at(DType::float32), inputs, oracle) < 1e-4);
}

TEST_CASE("norm: batchnorm keeps running statistics and uses them outside training", "[norm]") {
  const Tensor x = leaf({50, 3}, 5, 2, 1.5).to(DType::float32).detach();
  NormOptions o;
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

TEST_CASE("norm: Theorem 1, mean and variance of dx at eps = 0", "[norm][theorem]") {
  const std::string name = GENERATE("detachnorm", "detach_mean", "detach_std", "layernorm_simple");
  CAPTURE(name);
  const bool mean_kept = name == "detach_std" || name == "layernorm_simple";
  const bool std_kept = name == "detach_mean" || name == "layernorm_simple";
  const NormTraits& v = norm_variant(name);
  const Case c = make_case(v, 20, 65, DType::float64);
  NormOptions o;
  o.eps = 0;
  const Tensor dx = run(v, c, o).dx;
  const Tensor sigma2 = var(c.x, {1}), gbar = mean(c.dz, {1}), D_g = var(c.dz, {1});
  const Tensor dx_mean = mean(dx, {1}), dx_var = var(dx, {1});
  for (int64_t r = 0; r < 20; ++r) {
    const double s2 = sigma2[r].item(), bound = D_g[r].item() / s2;
    CHECK(std::abs(dx_mean[r].item() - (mean_kept ? 0 : gbar[r].item() / std::sqrt(s2))) < 1e-12);
    if (std_kept)
      CHECK(dx_var[r].item() <= bound * (1 + 1e-12));
    else
      CHECK(std::abs(dx_var[r].item() - bound) < 1e-12 * bound);
  }
}

TEST_CASE("norm: adanorm's phi has mean C and z has mean -C k", "[norm][theorem]") {
  const Case c = make_case(norm_variant("adanorm"), 9, 65, DType::float64);
  NormOptions o;
  o.eps = 0;
  o.C = 1.7;
  o.k = 0.1;
  const Tensor z = normalize(c.x, norm_variant("adanorm"), o);
  const Tensor y = normalize(c.x, norm_variant("layernorm_simple"), o);
  check_close(mean(z, {1}), Tensor::full({9}, -1.7 * 0.1, DType::float64), 1e-12);
  check_close(mean(1.7 * (1.0 - 0.1 * y), {1}), Tensor::full({9}, 1.7, DType::float64), 1e-12);
}

TEST_CASE("norm: the two denominators differ as paper and code do", "[norm]") {
  const Tensor x = Tensor::of<float>({1, 2}, {-1, 1});
  NormOptions o;
  o.eps = 0;
  const NormTraits& v = norm_variant("layernorm_simple");
  CHECK(std::abs(normalize(x, v, o)[0][1].item() - 1) < 1e-6);
  o.denominator = Denominator::std_eps;
  CHECK(std::abs(normalize(x, v, o)[0][1].item() - 1 / std::sqrt(2.0)) < 1e-6);
}

TEST_CASE("norm: the same bits for any number of threads", "[norm]") {
  const NormTraits v = any_row_variant();
  CAPTURE(std::string(v.name));
  const int before = num_threads();
  const Case c = make_case(v, 1000, 300, DType::float32);
  Results first;
  for (const int threads : {1, 2, 3, 7}) {
    set_num_threads(threads);
    const Results r = run(v, c, options_of(c));
    if (!first.z) first = r;
    CHECK(max_difference(r.z, first.z) == 0);
    CHECK(max_difference(r.dx, first.dx) == 0);
    if (r.dgain) CHECK(max_difference(r.dgain, first.dgain) == 0);
    if (r.dbias) CHECK(max_difference(r.dbias, first.dbias) == 0);
  }
  set_num_threads(before);
}

TEST_CASE("norm: errors say what was expected and what came", "[norm][errors]") {
  const Tensor x = Tensor::zeros({32, 128});
  NormOptions o;
  o.gain = Tensor::ones({512});
  CHECK(message_of<ShapeError>([&] { normalize(x, norm_variant("layernorm"), o); }) ==
        "normalize: gain must be [128] for x [32, 128], got [512] (variant 'layernorm')");
  o.gain = Tensor::ones({128});
  CHECK(message_of<ValueError>([&] { normalize(x, norm_variant("detachnorm"), o); }) ==
        "normalize: variant 'detachnorm' takes no gain");
  o.gain = Tensor::ones({128}, DType::float64);
  CHECK_THROWS_AS(normalize(x, norm_variant("layernorm"), o), DtypeError);
  CHECK_THROWS_AS(normalize(Tensor::zeros({2, 3}, DType::int64), norm_variant("layernorm")),
                  DtypeError);
  CHECK_THROWS_AS(normalize(Tensor::scalar(1), norm_variant("layernorm")), ShapeError);
  NormOptions unbiased;
  unbiased.denominator = Denominator::std_eps;
  CHECK_THROWS_AS(normalize(Tensor::zeros({4, 1}), norm_variant("layernorm"), unbiased),
                  ShapeError);
  NormOptions negative;
  negative.eps = -1;
  CHECK_THROWS_AS(normalize(x, norm_variant("layernorm"), negative), ValueError);
  NormOptions groups;
  groups.groups = 5;
  CHECK_THROWS_AS(normalize(x, norm_variant("groupnorm"), groups), ShapeError);
  CHECK_THROWS_AS(normalize(x, norm_variant("layernorm"), groups), ValueError);
  NormOptions eval;
  eval.training = false;
  CHECK_THROWS_AS(normalize(x, norm_variant("batchnorm"), eval), ValueError);
  const std::string unknown = message_of<ValueError>([] { norm_variant("layer_norm"); });
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
