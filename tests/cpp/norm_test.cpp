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
  NormTraits variant = {};
};

/// Random values of that dtype; the parameters that the variant takes.
Case make_case(const NormTraits& v, int64_t rows, int64_t H, DType dtype, double mean = 0) {
  Generator generator(7);
  Case c;
  c.variant = v;
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
  const Scale scale = c.variant.scale;
  if (scale != Scale::none && scale != Scale::tanh) o.denominator = d;
  if (c.variant.output == Output::adaptive) o.C = 1.5;
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
  return {up(c.x), up(c.gain), up(c.bias), up(c.dz), c.variant};
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
  std::vector<Tensor> inputs{c.x.detach().clone().set_requires_grad()};
  if (c.gain) inputs.push_back(c.gain.detach().clone().set_requires_grad());
  if (c.bias) inputs.push_back(c.bias.detach().clone().set_requires_grad());
  const auto gain_in = [&](const std::vector<Tensor>& in) { return c.gain ? in[1] : Tensor(); };
  const auto bias_in = [&](const std::vector<Tensor>& in) { return c.bias ? in.back() : Tensor(); };
  const Op op = [&](const std::vector<Tensor>& in) {
    NormOptions o = options_of({in[0], gain_in(in), bias_in(in), {}, v},
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
  CHECK(gradient_error(op, {c.x.detach().clone().set_requires_grad()}, frozen) < 1e-6);
}

TEST_CASE("norm: a naive difference rejects the right gradient of a detached variant", "[norm]") {
  const std::string name = GENERATE("detachnorm", "detach_mean", "adanorm", "gradnorm");
  CAPTURE(name);
  const NormTraits& v = norm_variant(name);
  const Case c = make_case(v, 3, 33, DType::float64);
  const Op op = [&](const std::vector<Tensor>& in) { return normalize(in[0], v, {}); };
  CHECK(gradient_error(op, {c.x.detach().clone().set_requires_grad()}) > 0.01);
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

namespace {

/// How far the GPU is from the CPU, forward and backward, for x and whatever parameters o has.
double gpu_error(const NormTraits& v, const Tensor& x, const NormOptions& o,
                 DType dtype = DType::float64) {
  std::vector<Tensor> inputs{x.detach().clone().set_requires_grad()};
  for (const Tensor& parameter : {o.gain, o.bias, o.alpha})
    if (parameter) inputs.push_back(parameter.detach().clone().set_requires_grad());
  const Op op = [&](const std::vector<Tensor>& in) {
    NormOptions own = o;
    size_t next = 1;
    for (Tensor* parameter : {&own.gain, &own.bias, &own.alpha})
      if (*parameter) *parameter = in[next++];
    return normalize(in[0], v, own);
  };
  return cuda_difference(op, inputs, dtype);
}

void check_gpu(const NormTraits& v, const Tensor& x, const NormOptions& o) {
  CHECK(gpu_error(v, x, o) < 1e-12);
  CHECK(gpu_error(v, x, o, DType::float32) < 2e-5);
}

}  // namespace

TEST_CASE("norm: the GPU agrees with the CPU", "[norm][cuda]") {
  const NormTraits v = any_row_variant();
  const bool std_eps = GENERATE(false, true);
  const int64_t H = GENERATE(1, 2, 3, 16, 33, 128, 130, 513, 1024, 9000, 20000);
  const int64_t rows = GENERATE(1, 7, 40);
  CAPTURE(std::string(v.name), H, rows, std_eps);
  if ((H == 1 && std_eps) || (rows == 40 && (H > 1024 || std_eps))) return;
  if (H > 1024 && (std_eps || rows == 1)) return;  // an emulated device takes its time
  const Case c = make_case(v, rows, H, DType::float64);
  NormOptions o = options_of(c, std_eps ? Denominator::std_eps : Denominator::var_eps);
  if (v.scale == Scale::tanh) o.alpha = Tensor::full({1}, 0.7, DType::float64);
  CHECK(gpu_error(v, c.x, o) < 1e-12);
  CHECK(gpu_error(v, c.x, o, DType::float32) < (H == 1 ? 1e-4 : 2e-5));
  if (H <= 513 && rows == 7) CHECK(gpu_error(v, c.x, o, DType::bfloat16) < 1.0 / 256);
}

TEST_CASE("norm: the GPU takes rows longer than its registers and shared memory", "[norm][cuda]") {
  const std::string name = GENERATE("layernorm", "layernorm_simple", "adanorm", "gradnorm",
                                    "bias_only", "topk", "scalenorm", "dyt", "detach_std");
  // Clusters of 2, 4 and 8 blocks, where there are any; 140,000 are too many for those, too.
  const int64_t H = GENERATE(32768, 65536, 65537, 90004, 131072, 140000);
  CAPTURE(name, H);
  const bool scalar = name == "layernorm" || name == "topk";
  // An emulated device takes its time.
  if ((H == 65537 && !scalar) || (H > 100000 && name != "layernorm")) return;
  const Case c = make_case(norm_variant(name), 2, H, DType::float64);
  // topk adds hundreds of gradients up in one entry.
  const double tolerance = name == "topk" ? 5e-5 : 2e-5;
  CHECK(gpu_error(norm_variant(name), c.x, options_of(c), DType::float32) < tolerance);
  if (H == 32768) CHECK(gpu_error(norm_variant(name), c.x, options_of(c)) < 1e-12);
  if (H <= 65536 && (name == "layernorm" || name == "adanorm"))
    CHECK(gpu_error(norm_variant(name), c.x, options_of(c), DType::bfloat16) < 1.0 / 256);
}

TEST_CASE("norm: blocks that share rows sum their gains' gradients over many", "[norm][cuda]") {
  const int64_t H = GENERATE(16388, 16385, 50000);
  CAPTURE(H);
  const Case c = make_case(norm_variant("layernorm"), 9, H, DType::float64);
  CHECK(gpu_error(norm_variant("layernorm"), c.x, options_of(c), DType::float32) < 2e-5);
}

TEST_CASE("norm: the GPU takes short rows, several a warp", "[norm][cuda]") {
  const std::string name = GENERATE("layernorm", "adanorm", "scalenorm", "gain_only");
  const int64_t H = GENERATE(1, 4, 8, 31, 32, 33, 64, 65, 128);
  const int64_t rows = GENERATE(1, 3, 4, 130);
  CAPTURE(name, H, rows);
  const Case c = make_case(norm_variant(name), rows, H, DType::float64);
  CHECK(gpu_error(norm_variant(name), c.x, options_of(c)) < 1e-12);
  CHECK(gpu_error(norm_variant(name), c.x, options_of(c), DType::float32) < (H == 1 ? 1e-4 : 2e-5));
  if (H > 1) CHECK(gpu_error(norm_variant(name), c.x, options_of(c), DType::bfloat16) < 1.0 / 128);
}

TEST_CASE("norm: the GPU takes more rows than blocks at once", "[norm][cuda]") {
  const std::string_view name = GENERATE("layernorm", "scalenorm", "dyt");
  const int64_t H = GENERATE(5, 260);
  CAPTURE(std::string(name), H);
  const Case c = make_case(norm_variant(name), 600, H, DType::float64);
  NormOptions o = options_of(c);
  if (name == "dyt") o.alpha = Tensor::full({1}, 0.7, DType::float64);
  check_gpu(norm_variant(name), c.x, o);
}

TEST_CASE("norm: the GPU takes rows that lie anywhere", "[norm][cuda]") {
  const std::string name = GENERATE("layernorm", "dyt", "batchnorm");
  const int64_t H = GENERATE(33, 128, 2052), first = GENERATE(1, 2, 3, 4);
  CAPTURE(name, H, first);
  const int64_t rows = 5;
  Generator generator(5);
  const std::vector<Tensor> inputs{
      randn({rows * H + 8}, 0, 1, DType::float64, generator).set_requires_grad(),
      randn({H + 8}, 1, 0.3, DType::float64, generator).set_requires_grad()};
  const Op op = [&](const std::vector<Tensor>& in) {
    NormOptions o;
    o.gain = in[1].slice(first, first + H);
    return normalize(in[0].slice(first, first + rows * H).reshape({rows, H}), norm_variant(name),
                     o);
  };
  // A slice's own gradient is not this family's: compare the values.
  NoGrad no_grad;
  std::vector<Tensor> detached;
  for (const Tensor& t : inputs) detached.push_back(t.detach());
  CHECK(cuda_difference(op, detached) < 1e-12);
  CHECK(cuda_difference(op, detached, DType::float32) < 2e-5);
}

TEST_CASE("norm: the GPU takes gradients that lie anywhere", "[norm][cuda]") {
  if (!cuda::is_available()) return;
  const int64_t rows = 5, H = GENERATE(33, 128), first = GENERATE(1, 4);
  const Case c = make_case(norm_variant("layernorm"), rows, H, DType::float32);
  Generator generator(9);
  const Tensor flat = randn({rows * H + 4}, 0, 1, DType::float32, generator);
  const auto run_on = [&](Device device) {
    Case own{c.x.to(device), c.gain.to(device), c.bias.to(device),
             flat.to(device).slice(first, first + rows * H).reshape({rows, H})};
    return run(norm_variant("layernorm"), own, options_of(own));
  };
  const Results got = run_on(Device::cuda), want = run_on(Device::cpu);
  check_close(got.dx, want.dx, 1e-5);
  check_close(got.dgain, want.dgain, 1e-5);
  check_close(got.dbias, want.dbias, 1e-5);
}

TEST_CASE("norm: the GPU clamps as the CPU does, equals and all", "[norm][cuda]") {
  const NormTraits v = norm_variant("topk");
  const int64_t H = GENERATE(33, 400, 1000, 5000);
  const double share = GENERATE(0.005, 0.1, 0.6, 1.0);
  const bool zeros = GENERATE(false, true);
  CAPTURE(H, share, zeros);
  Case c = make_case(v, 4, H, DType::float64);
  if (zeros)  // as behind a relu: half of the row is 0 or -0
    for (int64_t i = 0; i < c.x.numel(); ++i) {
      double& e = c.x.data<double>()[i];
      if (e < 0) e = i % 3 == 0 ? -0.0 : 0.0;
    }
  NormOptions o = options_of(c);
  o.topk_share = share;
  if (share < 0.6) CHECK(gpu_error(v, c.x, o) < 1e-12);
  // All clamped: the row is constant, and rounding is multiplied by 1 / sqrt(eps) = 316.
  const std::vector<Tensor> forward_only{c.x.to(DType::float32).detach()};
  const Op op = [&](const std::vector<Tensor>& in) {
    NormOptions plain;
    plain.topk_share = share;
    return normalize(in[0], v, plain);
  };
  CHECK(cuda_difference(op, forward_only, DType::float32) < (share < 1 ? 2e-5 : 1e-4));
}

TEST_CASE("norm: groups of channels on the GPU", "[norm][cuda]") {
  const std::string name = GENERATE("batchnorm", "groupnorm", "instancenorm");
  const Shape shape =
      GENERATE(Shape{4, 6, 5}, Shape{3, 6, 1}, Shape{40, 70, 1}, Shape{5, 4, 33}, Shape{9, 2, 2, 3},
               Shape{400, 2, 100}, Shape{2200, 34, 1}, Shape{2, 4, 9000}, Shape{1, 64, 49});
  CAPTURE(name, shape.str());
  const int64_t C = shape[1];
  if (name == "instancenorm" && shape.numel() == shape[0] * C) return;  // every y is 0
  Generator generator(11);
  const Tensor x = randn(shape, 0.5, 1.5, DType::float64, generator);
  NormOptions o;
  o.axes = shape.rank() - 1;
  if (name == "groupnorm") o.groups = 2;
  o.gain = randn({C}, 1, 0.3, DType::float64, generator);
  o.bias = randn({C}, 0, 0.3, DType::float64, generator);
  check_gpu(norm_variant(name), x, o);
  o.bias = {};
  o.denominator = Denominator::std_eps;
  CHECK(gpu_error(norm_variant(name), x, o) < 1e-12);
}

TEST_CASE("norm: variants of one's own on the GPU", "[norm][cuda]") {
  const NormTraits v = GENERATE(
      NormTraits{.name = "a", .scale = Scale::rms, .output = Output::affine, .group = Group::batch},
      NormTraits{.name = "b", .output = Output::adaptive, .group = Group::batch},
      NormTraits{.name = "c", .output = Output::residual, .group = Group::channels},
      NormTraits{.name = "d", .grad_mean = false, .output = Output::affine, .group = Group::batch},
      NormTraits{.name = "e", .grad_mean = false, .grad_scale = false, .group = Group::batch},
      NormTraits{.name = "f", .output = Output::affine, .group = Group::channels, .clamp = true},
      NormTraits{.name = "g", .output = Output::affine, .scalar_gain = true},
      NormTraits{.name = "h", .output = Output::affine, .clamp = true, .scalar_gain = true});
  CAPTURE(std::string(v.name));
  Generator generator(13);
  const Tensor x = randn({6, 4, 31}, 0.5, 1.5, DType::float64, generator);
  NormOptions o;
  o.axes = 2;
  if (v.clamp) o.topk_share = 0.05;
  if (v.group == Group::channels) o.groups = 2;
  if (v.output == Output::affine) {
    o.gain = randn({v.scalar_gain ? 1 : 4}, 1, 0.3, DType::float64, generator);
    o.bias = randn({v.scalar_gain ? 1 : 4}, 0, 0.3, DType::float64, generator);
  }
  check_gpu(v, x, o);
}

TEST_CASE("norm: what the GPU has no kernel for it says", "[norm][cuda][errors]") {
  if (!cuda::is_available()) return;
  const Tensor x = Tensor::zeros({4, 3}, DType::float32, Device::cuda);
  const NormTraits clamped{.name = "own", .group = Group::batch, .clamp = true};
  NormOptions o;
  o.topk_share = 1;
  CHECK(message_of<DeviceError>([&] { normalize(x, clamped, o); }).find("a variant like 'own'") !=
        std::string::npos);
  NormOptions mixed;
  mixed.gain = Tensor::ones({3});
  CHECK(message_of<DeviceError>([&] { normalize(x, norm_variant("layernorm"), mixed); }) ==
        "normalize: gain must be on cuda as x, is on cpu");
  NormOptions running;
  running.running_mean = Tensor::zeros({3});
  running.running_var = Tensor::ones({3});
  CHECK(message_of<DeviceError>([&] { normalize(x, norm_variant("batchnorm"), running); }) ==
        "normalize: running_mean must be on cuda as x, is on cpu");
  CHECK(message_of<DeviceError>([&] {
          normalize_residual(x, Tensor::zeros({4, 3}), norm_variant("layernorm"));
        }) == "normalize_residual: residual must be on cuda as x, is on cpu");
}

TEST_CASE("norm: running statistics live on the GPU", "[norm][cuda]") {
  if (!cuda::is_available()) return;
  const Shape shape = GENERATE(Shape{50, 3, 1}, Shape{300, 2, 150}, Shape{2, 2, 1});
  const bool std_eps = GENERATE(false, true);
  const DType dtype = GENERATE(DType::float64, DType::float32);
  const double tolerance = dtype == DType::float64 ? 1e-12 : 1e-5;
  Generator generator(17);
  const Tensor x = randn(shape, 3, 2, DType::float64, generator).to(dtype);
  const Tensor dz = randn(shape, 0, 1, DType::float64, generator).to(dtype);
  const auto run_on = [&](Device device) {
    NormOptions o;
    o.axes = 2;
    o.denominator = std_eps ? Denominator::std_eps : Denominator::var_eps;
    o.running_mean = Tensor::zeros({shape[1]}, dtype, device);
    o.running_var = Tensor::ones({shape[1]}, dtype, device);
    o.momentum = 0.3;
    for (int i = 0; i < 2; ++i) normalize(x.to(device), norm_variant("batchnorm"), o);
    o.training = false;
    o.gain = Tensor::full({shape[1]}, 1.5, dtype, device).set_requires_grad();
    Tensor leaf = x.to(device).clone().set_requires_grad();
    const Tensor z = normalize(leaf, norm_variant("batchnorm"), o);
    z.backward(dz.to(device));
    return std::vector<Tensor>{o.running_mean, o.running_var, z.detach(), leaf.grad(),
                               o.gain.grad()};
  };
  const std::vector<Tensor> got = run_on(Device::cuda), want = run_on(Device::cpu);
  for (size_t i = 0; i < want.size(); ++i) {
    CAPTURE(i);
    CHECK(got[i].device() == Device::cuda);
    check_close(got[i], want[i], tolerance);
  }
}

TEST_CASE("norm: huge means, constant rows and NaN on the GPU", "[norm][cuda]") {
  if (!cuda::is_available()) return;
  const NormTraits v = any_row_variant();
  CAPTURE(std::string(v.name));
  if (v.scale != Scale::std) return;
  const auto on_gpu = [&](const Case& c) {
    Case own = c;
    for (Tensor* t : {&own.x, &own.gain, &own.bias, &own.dz})
      if (*t) *t = t->to(Device::cuda);
    return run(v, own, options_of(own));
  };
  for (const int64_t H : {257, 3000}) {
    const Case c = make_case(v, 6, H, DType::float32, 1e4);
    const Case exact = to_double(c);
    const Results got = on_gpu(c), want = run(v, exact, options_of(exact));
    check_close(got.z, want.z, 1e-5);
    check_close(got.dx, want.dx, 1e-4);
  }
  for (const double constant : {0.0, 1.0, 12345.678, -1e20}) {
    Case flat = make_case(v, 2, 100, DType::float32);
    flat.x = Tensor::full({2, 100}, constant);
    for (const double e : on_gpu(flat).dx.to_vector()) REQUIRE(std::isfinite(e));
    const Tensor y = normalize(flat.x.to(Device::cuda), norm_variant("layernorm_simple"));
    for (const double e : y.to_vector()) REQUIRE(std::abs(e) < 1e-2);
  }
  Case c = make_case(v, 3, 40, DType::float32);
  c.x.data<float>()[45] = std::numeric_limits<float>::quiet_NaN();
  const Results r = on_gpu(c);
  for (const Tensor& t : {r.z, r.dx}) {
    const std::vector<double> e = t.to_vector();
    CHECK(std::none_of(e.begin(), e.begin() + 40, [](double x) { return std::isnan(x); }));
    CHECK(std::all_of(e.begin() + 40, e.begin() + 80, [](double x) { return std::isnan(x); }));
    CHECK(std::none_of(e.begin() + 80, e.end(), [](double x) { return std::isnan(x); }));
  }
}

TEST_CASE("norm: zero rows on the GPU", "[norm][cuda]") {
  for (const NormTraits& v : kNormVariants) {
    CAPTURE(std::string(v.name));
    if (v.group != Group::row) continue;
    const Case c = make_case(v, 0, 8, DType::float64);
    CHECK(gpu_error(v, c.x, options_of(c)) == 0);
  }
}

TEST_CASE("norm: the GPU gives the same bits twice", "[norm][cuda]") {
  if (!cuda::is_available()) return;
  const std::string name = GENERATE("layernorm", "topk", "dyt", "scalenorm", "batchnorm");
  CAPTURE(name);
  const NormTraits v = norm_variant(name);
  const Case c = make_case(v, 300, 600, DType::float32);
  const auto once = [&] {
    Case own = c;
    for (Tensor* t : {&own.x, &own.gain, &own.bias, &own.dz})
      if (*t) *t = t->to(Device::cuda);
    return run(v, own, options_of(own));
  };
  const Results a = once(), b = once();
  CHECK(max_difference(a.z, b.z) == 0);
  CHECK(max_difference(a.dx, b.dx) == 0);
  if (a.dgain) CHECK(max_difference(a.dgain, b.dgain) == 0);
  if (a.dbias) CHECK(max_difference(a.dbias, b.dbias) == 0);
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
      NormOptions o;
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

  if (!cuda::is_available() || v.group == Group::batch || v.scale == Scale::tanh ||
      v.scale == Scale::none || v.clamp)
    return;  // composed there, of ops that have tests of their own
  CHECK(cuda_difference(op(true), {x, residual}) < 1e-12);
  CHECK(cuda_difference(op(true), {x, residual}, DType::float32) < 2e-5);
  NormOptions o;
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
  const Tensor y = normalize(c.x, norm_variant("layernorm_simple"), {.eps = 0});
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
  CHECK(message_of<ArgumentError>([&] { normalize(x, norm_variant("detachnorm"), o); }) ==
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
  CHECK_THROWS_AS(normalize(x, norm_variant("layernorm"), negative), ArgumentError);
  NormOptions groups;
  groups.groups = 5;
  CHECK_THROWS_AS(normalize(x, norm_variant("groupnorm"), groups), ShapeError);
  CHECK_THROWS_AS(normalize(x, norm_variant("layernorm"), groups), ArgumentError);
  const NormTraits mixed{.name = "own", .scale = Scale::tanh, .output = Output::adaptive};
  CHECK(message_of<ArgumentError>([&] { normalize(x, mixed); }) ==
        "normalize: tanh goes with gain and bias only (variant 'own')");
  NormOptions eval;
  eval.training = false;
  CHECK_THROWS_AS(normalize(x, norm_variant("batchnorm"), eval), ArgumentError);
  CHECK(message_of<ArgumentError>([&] {
          normalize(Tensor::zeros({1, 8}), norm_variant("batchnorm"));
        }) ==
        "normalize: variant 'batchnorm' in training needs more than one value a channel, x is [1, "
        "8]; leave out a last batch of one row, or use eval()");
  CHECK(normalize(Tensor::zeros({0, 8}), norm_variant("batchnorm")).shape() == Shape{0, 8});
  const std::string unknown = message_of<ArgumentError>([] { norm_variant("layer_norm"); });
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
