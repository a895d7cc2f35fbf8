#include "norm_cases.h"

// Every variant is its formula, forward and backward.

using namespace normlab;
using namespace normlab::test;

TEST_CASE("norm: forward of every row variant is the formula", "[norm]") {
  const NormTraits v = any_row_variant();
  const bool std_eps = GENERATE(false, true);
  const int64_t H = GENERATE(2, 3, 33, 513);
  CAPTURE(std::string(v.name), H, std_eps);
  const Case c = make_case(v, 5, H, DType::float64);
  const NormInputs o = options_of(c, std_eps ? Denominator::std_eps : Denominator::var_eps);
  const Oracle oracle{v, std_eps, 1e-5, 1.5, 0.1};
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
    NormInputs o = options_of({in[0], gain_in(in), bias_in(in), {}, v},
                              std_eps ? Denominator::std_eps : Denominator::var_eps);
    return normalize(in[0], v, o);
  };
  const Oracle oracle{v, std_eps, 1e-5, 1.5, 0.1};
  const Op frozen = [&](const std::vector<Tensor>& in) {
    return oracle.rows(in[0], c.x, gain_in(in), bias_in(in));
  };
  CHECK(gradient_error(op, inputs, frozen) < 1e-6);
}

TEST_CASE("norm: topk routes the gradient through the clamp", "[norm][grad]") {
  const NormTraits& v = norm_variant("topk");
  const Case c = make_case(v, 2, 1000, DType::float64);  // clamps 5 on each side
  const Oracle oracle{v};
  const Op op = [&](const std::vector<Tensor>& in) { return normlab::normalize(in[0], v); };
  const Op frozen = [&](const std::vector<Tensor>& in) { return oracle.rows(in[0], c.x, {}, {}); };
  CHECK(gradient_error(op, {c.x.detach().clone().set_requires_grad()}, frozen) < 1e-6);
}

TEST_CASE("norm: a naive difference rejects the right gradient of a detached variant", "[norm]") {
  const NormTraits v = any_row_variant();
  CAPTURE(std::string(v.name));
  const bool detached = (v.centred() && !v.grad_mean) || !v.grad_scale ||
                        v.output == Output::adaptive || v.output == Output::residual;
  if (!detached) return;
  const Case c = make_case(v, 3, 33, DType::float64);
  const Op op = [&](const std::vector<Tensor>& in) { return normlab::normalize(in[0], v); };
  CHECK(gradient_error(op, {c.x.detach().clone().set_requires_grad()}) > 0.01);
}

TEST_CASE("norm: groups of channels are their formulas, forward and backward", "[norm][grad]") {
  const NormTraits v = any_channel_variant();
  const int64_t S = GENERATE(1, 5, 18), C = 6;
  CAPTURE(std::string(v.name), S);
  if (v.group == Group::channel && S == 1) return;  // every y is 0
  const int64_t groups = v.group == Group::batch ? 0 : v.group == Group::channels ? 3 : C;
  std::vector<Tensor> inputs{leaf({4, C, S}, 1)};
  if (v.takes_gain()) inputs.push_back(leaf({C}, 2, 1, 0.3));
  if (v.takes_bias()) inputs.push_back(leaf({C}, 3));
  const auto gain_in = [&](const auto& in) { return v.takes_gain() ? in[1] : Tensor(); };
  const auto bias_in = [&](const auto& in) { return v.takes_bias() ? in.back() : Tensor(); };
  const auto op_at = [&](DType dtype) {
    return [&, dtype](const std::vector<Tensor>& in) {
      NormInputs o;
      o.axes = 2;
      o.groups = v.group == Group::channels ? groups : 0;
      if (v.takes_gain()) o.gain = gain_in(in).to(dtype);
      if (v.takes_bias()) o.bias = bias_in(in).to(dtype);
      return normalize(in[0].to(dtype), v, o).to(DType::float64);
    };
  };
  const Tensor base = inputs[0].detach();
  const Op oracle = [&](const std::vector<Tensor>& in) {
    return Oracle{v}.channels(in[0], base, groups, gain_in(in), bias_in(in));
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
      NormInputs o;
      o.gain = in[1].to(dtype);
      o.bias = in[2].to(dtype);
      o.alpha = in[3].to(dtype);
      return normalize(in[0].to(dtype), norm_variant("dyt"), o).to(DType::float64);
    };
  };
  const Op oracle = [](const std::vector<Tensor>& in) {
    return Oracle{norm_variant("dyt")}.rows(in[0], in[0], in[1], in[2], in[3].item());
  };
  check_close(op_at(DType::float64)(inputs), oracle(inputs), 1e-12);
  CHECK(gradient_error(op_at(DType::float64), inputs, oracle) < 1e-6);
  CHECK(gradient_error(op_at(DType::float32), inputs, oracle) < 1e-4);
}
