#include "device.h"
#include "errors.h"
#include "norm_cases.h"

// The GPU agrees with the CPU.

using namespace normlab;
using namespace normlab::test;

namespace {

/// How far the GPU is from the CPU, forward and backward, for x and whatever parameters o has.
double gpu_error(const NormTraits& v, const Tensor& x, const NormInputs& o,
                 DType dtype = DType::float64) {
  const NormCall call(v, x, o);
  return cuda_difference(call.op, call.inputs, dtype);
}

void check_gpu(const NormTraits& v, const Tensor& x, const NormInputs& o) {
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
  const Case c = make_case(v, H > 1024 ? 2 : rows, H, DType::float64);
  NormInputs o = options_of(c, std_eps ? Denominator::std_eps : Denominator::var_eps);
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
  // An emulated device takes its time: one length for all, the others where a kernel has a reason.
  const bool few = name == "layernorm" || name == "scalenorm" || name == "dyt";
  if (H > 32768 && !few && !(scalar && H == 65537)) return;
  if (H > 100000 && name != "layernorm") return;
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
  NormInputs o = options_of(c);
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
    NormInputs o;
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
  if (!test::has_device()) return;
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
  NormInputs o = options_of(c);
  o.topk_share = share;
  if (share < 0.6) CHECK(gpu_error(v, c.x, o) < 1e-12);
  // All clamped: the row is constant, and rounding is multiplied by 1 / sqrt(eps) = 316.
  const std::vector<Tensor> forward_only{c.x.to(DType::float32).detach()};
  const Op op = [&](const std::vector<Tensor>& in) {
    NormInputs plain;
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
  NormInputs o;
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
  NormInputs o;
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
  if (!test::has_device()) return;
  const Tensor x = Tensor::zeros({4, 3}, DType::float32, Device::cuda);
  const NormTraits clamped{.name = "own", .group = Group::batch, .clamp = true};
  NormInputs o;
  o.topk_share = 1;
  CHECK(error_of<DeviceError>([&] { normalize(x, clamped, o); }).find("a variant like 'own'") !=
        std::string::npos);
  NormInputs mixed;
  mixed.gain = Tensor::ones({3});
  CHECK(error_of<DeviceError>([&] { normalize(x, norm_variant("layernorm"), mixed); }) ==
        "normalize: gain must be on cuda as x, is on cpu");
  NormInputs running;
  running.running_mean = Tensor::zeros({3});
  running.running_var = Tensor::ones({3});
  CHECK(error_of<DeviceError>([&] { normalize(x, norm_variant("batchnorm"), running); }) ==
        "normalize: running_mean must be on cuda as x, is on cpu");
  CHECK(error_of<DeviceError>([&] {
          normalize_residual(x, Tensor::zeros({4, 3}), norm_variant("layernorm"));
        }) == "normalize_residual: residual must be on cuda as x, is on cpu");
}

TEST_CASE("norm: running statistics live on the GPU", "[norm][cuda]") {
  if (!test::has_device()) return;
  const Shape shape = GENERATE(Shape{50, 3, 1}, Shape{300, 2, 150}, Shape{2, 2, 1});
  const bool std_eps = GENERATE(false, true);
  const DType dtype = GENERATE(DType::float64, DType::float32);
  const double tolerance = dtype == DType::float64 ? 1e-12 : 1e-5;
  Generator generator(17);
  const Tensor x = randn(shape, 3, 2, DType::float64, generator).to(dtype);
  const Tensor dz = randn(shape, 0, 1, DType::float64, generator).to(dtype);
  const auto run_on = [&](Device device) {
    NormInputs o;
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
  if (!test::has_device()) return;
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
  if (!test::has_device()) return;
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
