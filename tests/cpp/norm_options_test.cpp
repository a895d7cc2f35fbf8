#include <cmath>

#include "catch.h"
#include "device.h"
#include "errors.h"
#include "kernel_checks.h"
#include "norm_inputs.h"

// What a variant takes beside x: options of another are refused, and running statistics.

using namespace normlab;
using namespace normlab::test;
using normlab::nn::Norm;

namespace {

NormInputs running(int64_t channels, DType dtype, Device device = Device::cpu) {
  NormInputs o;
  o.axes = 2;
  o.running_mean = Tensor::full({channels}, 0.25, dtype, device);
  o.running_var = Tensor::full({channels}, 2, dtype, device);
  o.momentum = 0.3;
  return o;
}

/// (1 - momentum) old + momentum new, with means over the rows of each channel.
std::vector<double> followed(double before, const Tensor& rows) {
  const std::vector<double> batch = mean(rows, {0}).to_vector();
  std::vector<double> after;
  for (const double b : batch) after.push_back(0.7 * before + 0.3 * b);
  return after;
}

std::string refusal(const NormSpec& spec) {
  const Tensor x = Tensor::zeros({4, 8, 2});
  const std::string message =
      error_of<ArgumentError>([&] { normlab::normalize(x, spec, {.axes = 2}); });
  const std::string of_module = error_of<ArgumentError>([&] { Norm(spec, {8, 2}); });
  CHECK(of_module == "Norm" + message.substr(message.find(':')));
  return message;
}

}  // namespace

TEST_CASE("norm options: those of another variant are refused", "[norm][options]") {
  CHECK(refusal({"layernorm", {.C = 2}}) == "normalize: variant 'layernorm' takes no C, got 2");
  CHECK(refusal({"topk", {.k = 0.2}}) == "normalize: variant 'topk' takes no k, got 0.2");
  CHECK(refusal({"rmsnorm", {.topk_share = 0.1}}) ==
        "normalize: variant 'rmsnorm' takes no topk_share, got 0.1");
  CHECK(refusal({"instancenorm", {.groups = 2}}) ==
        "normalize: variant 'instancenorm' takes no groups, got 2");
  CHECK(refusal({"groupnorm", {.momentum = 0.5}}) ==
        "normalize: variant 'groupnorm' takes no momentum, got 0.5");
  CHECK(refusal({"layernorm", {.track_running_stats = true}}) ==
        "normalize: variant 'layernorm' takes no track_running_stats");
  NormParameters alpha;
  alpha.alpha = Tensor::ones({1});
  CHECK(error_of<ArgumentError>([&] {
          normalize(Tensor::zeros({2, 2}), norm_variant("layernorm"), alpha);
        }) == "normalize: variant 'layernorm' takes no alpha");
  NormParameters mean;
  mean.running_mean = mean.running_var = Tensor::ones({2});
  CHECK(error_of<ArgumentError>([&] {
          normalize(Tensor::zeros({2, 2}), norm_variant("layernorm"), mean);
        }) == "normalize: variant 'layernorm' takes no running_mean");
}

TEST_CASE("norm options: each variant takes its own", "[norm][options]") {
  const Tensor x = randn({4, 8, 2});
  for (const NormTraits& v : kNormVariants) {
    CAPTURE(std::string(v.name));
    NormInputs o;
    o.axes = 2;
    if (v.scale == Scale::std || v.scale == Scale::rms || v.scale == Scale::l2) {
      o.eps = 1e-3;
      o.denominator = Denominator::std_eps;
    }
    if (v.output == Output::adaptive) o.C = o.k = 0.5;
    if (v.clamp) o.topk_share = 0.2;
    if (v.group == Group::channels) o.groups = 2;
    if (v.group == Group::channel || v.group == Group::batch) o.momentum = 0.2;
    CHECK(normalize(x, v, o).shape() == x.shape());
  }
}

TEST_CASE("norm: running statistics follow the batch's, in training only", "[norm][options]") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const double tolerance = dtype == DType::float64 ? 1e-13 : 1e-5;
  const std::string name = GENERATE("batchnorm", "instancenorm");
  const bool std_eps = GENERATE(false, true);
  CAPTURE(name_of(dtype), name, std_eps);
  // A variance far below eps: it is not worked out from sigma.
  for (const double size : {1.0, 1e-6}) {
    const Tensor x = (random({5, 3, 7}, 2, DType::float64) * size + size).to(dtype);
    NormInputs o = running(3, dtype);
    if (std_eps) o.denominator = Denominator::std_eps;
    normalize(x, norm_variant(name), o);
    const Tensor wide = x.to(DType::float64);
    const bool batch = name == "batchnorm";
    const Tensor rows = batch ? transpose(wide, {1, 0, 2}).reshape({1, 3, 35}) : wide;
    CHECK(worst(o.running_mean.to_vector(), followed(0.25, mean(rows, {2}))) < tolerance);
    CHECK(worst(o.running_var.to_vector(), followed(2, var(rows, {2}, false, 1))) < tolerance);
    NormInputs first = running(3, dtype);
    first.momentum = 1;
    normalize(x, norm_variant(name), first);
    const double got = first.running_var[0].item(),
                 want = mean(var(rows, {2}, false, 1), {0})[0].item();
    CHECK(std::abs(got / want - 1) < 1e-5);
  }
}

TEST_CASE("norm: instancenorm uses its running statistics outside training", "[norm][options]") {
  const Tensor x = random({4, 3, 6}, 3, DType::float64).set_requires_grad();
  NormInputs o = running(3, DType::float64);
  o.training = false;
  o.gain = random({3}, 4, DType::float64).set_requires_grad();
  o.bias = random({3}, 5, DType::float64).set_requires_grad();
  const auto column = [](const Tensor& t) { return t.reshape({3, 1}); };
  const Op op = [&](const std::vector<Tensor>& in) {
    NormInputs own = o;
    own.gain = in[1];
    own.bias = in[2];
    return normalize(in[0], norm_variant("instancenorm"), own);
  };
  const Op formula = [&](const std::vector<Tensor>& in) {
    return column(in[1]) * ((in[0] - column(o.running_mean)) / column(sqrt(o.running_var + 1e-5))) +
           column(in[2]);
  };
  const std::vector<Tensor> inputs{x, o.gain, o.bias};
  CHECK(max_difference(op(inputs), formula(inputs)) < 1e-13);
  CHECK(gradient_error(op, inputs, formula) < 1e-6);
  CHECK(o.running_mean.to_vector() == std::vector<double>(3, 0.25));
  CHECK(max_difference(normalize_residual(x, x, norm_variant("instancenorm"), o).first,
                       op({x + x, o.gain, o.bias})) == 0);
}

TEST_CASE("norm: running statistics of instancenorm on the GPU", "[norm][options][cuda]") {
  if (!test::has_device()) return;
  const DType dtype = GENERATE(DType::float32, DType::float64, DType::bfloat16);
  const DType wide = dtype == DType::float64 ? dtype : DType::float32;
  const int64_t places = GENERATE(2, 7, 600);
  const bool std_eps = GENERATE(false, true);
  CAPTURE(name_of(dtype), places, std_eps);
  const Tensor x = (random({5, 70, places}, 2, DType::float64) + 1.0).to(dtype);
  const auto run_on = [&](Device device) {
    NormInputs o = running(70, wide, device);
    if (std_eps) o.denominator = Denominator::std_eps;
    const Tensor own = device == Device::cpu ? x.to(wide) : x.to(device);
    normalize(own, norm_variant("instancenorm"), o);
    o.training = false;
    const Tensor z = normalize(own, norm_variant("instancenorm"), o);
    const Tensor sum = normalize_residual(own, own, norm_variant("instancenorm"), o).first;
    return std::vector<Tensor>{o.running_mean, o.running_var, z, sum};
  };
  const std::vector<Tensor> got = run_on(Device::cuda), want = run_on(Device::cpu);
  for (size_t i = 0; i < 4; ++i) {
    CAPTURE(i);
    const double tolerance = dtype == DType::bfloat16 && i > 1 ? 0.05 : 2e-5;
    CHECK(got[i].device() == Device::cuda);
    CHECK(worst(got[i].to_vector(), want[i].to_vector()) < tolerance);
  }
}

TEST_CASE("norm: no elements leave the running statistics alone", "[norm][options][cuda]") {
  const std::string name = GENERATE("batchnorm", "instancenorm");
  const Shape shape = GENERATE(Shape{0, 3, 4}, Shape{5, 3, 0}, Shape{0, 3, 0});
  const DType dtype = GENERATE(DType::float32, DType::float64);
  for (const Device device : {Device::cpu, Device::cuda}) {
    if (device == Device::cuda && !test::has_device()) continue;
    CAPTURE(name, shape.str(), name_of(dtype), name_of(device));
    NormInputs o = running(3, dtype, device);
    o.gain = Tensor::ones({3}, dtype, device).set_requires_grad();
    o.bias = Tensor::zeros({3}, dtype, device).set_requires_grad();
    Tensor x = Tensor::zeros(shape, dtype, device).set_requires_grad();
    for (const bool training : {true, false}) {
      o.training = training;
      const Tensor z = normalize(x, norm_variant(name), o);
      CHECK(z.shape() == shape);
      z.backward(Tensor::zeros(shape, dtype, device));
    }
    CHECK(x.grad().shape() == shape);
    CHECK(o.gain.grad().to_vector() == std::vector<double>(3, 0));
    CHECK(o.bias.grad().to_vector() == std::vector<double>(3, 0));
    CHECK(o.running_mean.to_vector() == std::vector<double>(3, 0.25));
    CHECK(o.running_var.to_vector() == std::vector<double>(3, 2));
  }
}

TEST_CASE("norm: one place a channel has no running variance", "[norm][options]") {
  const NormInputs o = running(3, DType::float32);
  const Tensor x = Tensor::zeros({4, 3, 1});
  CHECK(error_of<ArgumentError>([&] { normalize(x, norm_variant("instancenorm"), o); }) ==
        "normalize: variant 'instancenorm' with running statistics needs more than one place a "
        "channel in training, x is [4, 3, 1]");
  NormInputs eval = o;
  eval.training = false;
  CHECK(normalize(x, norm_variant("instancenorm"), eval).shape() == x.shape());
  NormInputs none;
  none.axes = 2;
  CHECK(normalize(x, norm_variant("instancenorm"), none).shape() == x.shape());
}

TEST_CASE("nn: instancenorm keeps running statistics where it is told to", "[nn][norm][options]") {
  Norm plain("instancenorm", {3, 4, 4});
  CHECK(plain.state().count("running_mean") == 0);
  Norm norm({"instancenorm", {.momentum = 0.5, .track_running_stats = true}}, {3, 4, 4});
  const Tensor x = random({8, 3, 4, 4}, 1) + 2.0;
  norm(x);
  const TensorMap state = norm.state();
  CHECK(std::abs(state.at("running_mean").to_vector()[0] - 1) < 0.2);
  norm.eval();
  const Tensor z = norm(x);
  NormParameters tensors = norm.tensors();
  tensors.training = false;
  CHECK(max_difference(z, normlab::normalize(x, norm.spec(), tensors)) == 0);
  CHECK(max_difference(z, plain(x)) > 0.01);
  Norm other({"instancenorm", {.track_running_stats = true}}, {3, 4, 4});
  other.load_state(state);
  other.eval();
  CHECK(max_difference(z, other(x)) == 0);
}
