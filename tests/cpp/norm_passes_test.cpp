#include "normlab/norm_passes.h"

#include "norm_cases.h"

// The passes alone, for the tape of another framework, are those of normalize().

using namespace normlab;
using namespace normlab::test;

namespace {

void check_equal(const Tensor& got, const Tensor& want) {
  REQUIRE(got.defined() == want.defined());
  if (got) CHECK(max_difference(got, want) == 0);
}

/// A spec with the settings of that case, and its parameters.
std::pair<NormSpec, NormParameters> spec_of(const Case& c, Denominator d) {
  NormSettings settings;
  if (c.variant.has_statistics()) settings.denominator = d;
  if (c.variant.output == Output::adaptive) settings.C = 1.5;
  return {NormSpec{c.variant, settings}, {.gain = c.gain, .bias = c.bias}};
}

void check_passes(Case c, const NormSpec& spec, NormParameters p) {
  const auto [z, saved] = norm_forward(c.x, spec, p);
  const NormNeeds needs{true, p.gain.defined(), p.bias.defined(), false};
  const NormGradients g = norm_backward(c.dz, c.x, saved, spec, p, needs);

  CHECK(!z.requires_grad());

  c.x.set_requires_grad();
  for (Tensor* leaf : {&p.gain, &p.bias})
    if (*leaf) leaf->set_requires_grad();
  const Tensor taped = normalize(c.x, spec, p);
  taped.backward(c.dz);
  check_equal(z, taped.detach());
  check_equal(g.x, c.x.grad());
  if (p.gain) check_equal(g.gain, p.gain.grad());
  if (p.bias) check_equal(g.bias, p.bias.grad());
}

}  // namespace

TEST_CASE("norm passes: of every variant, bit for bit those on the tape", "[norm][passes]") {
  const NormTraits v = GENERATE(from_range(variants_of_rows(true)));
  const DType dtype = GENERATE(DType::float32, DType::float64, DType::bfloat16);
  const Denominator d = GENERATE(Denominator::var_eps, Denominator::std_eps);
  CAPTURE(std::string(v.name), int(dtype));
  const Case c = make_case(v, 5, 513, dtype);  // topk clamps two on each side
  const auto [spec, parameters] = spec_of(c, d);
  check_passes(c, spec, parameters);
}

TEST_CASE("norm passes: of channels", "[norm][passes]") {
  const NormTraits v = any_channel_variant();
  const DType dtype = GENERATE(DType::float32, DType::float64);
  CAPTURE(std::string(v.name), int(dtype));
  Case c = make_case(v, 6, 4 * 15, dtype);
  c.x = c.x.reshape({6, 4, 15});
  c.dz = c.dz.reshape({6, 4, 15});
  NormParameters p{.gain = Tensor::full({4}, 1.25, dtype), .bias = Tensor::full({4}, 0.5, dtype)};
  p.axes = 2;
  check_passes(c, NormSpec{v}, p);
}

TEST_CASE("norm passes: moments are the rows' own", "[norm][passes]") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const Case c = make_case(norm_variant("layernorm_simple"), 3, 33, dtype, 2.0);
  const auto [z, saved] = norm_forward(c.x, "layernorm_simple", {}, true);
  const std::vector<double> found = saved.moments.to_vector(), x = c.x.to_vector();
  for (size_t r = 0; r < 3; ++r) {
    double mean = 0, var = 0;
    for (size_t j = 0; j < 33; ++j) mean += x[33 * r + j] / 33;
    for (size_t j = 0; j < 33; ++j) var += (x[33 * r + j] - mean) * (x[33 * r + j] - mean) / 33;
    CHECK(std::abs(found[2 * r] - mean) < 1e-5);
    CHECK(std::abs(found[2 * r + 1] - var) < 1e-5 * var);
  }
  CHECK(!norm_forward(c.x, "layernorm_simple").second.moments.defined());
}

TEST_CASE("norm passes: what was saved belongs to x", "[norm][passes]") {
  const Case c = make_case(norm_variant("topk"), 4, 513, DType::float32);
  const NormParameters p{.gain = c.gain, .bias = c.bias};
  const NormSaved saved = norm_forward(c.x, "topk", p).second;
  const auto backward = [&](const Tensor& dz, const NormSaved& s) {
    return norm_backward(dz, c.x, s, "topk", p);
  };
  CHECK_THROWS_AS(backward(Tensor::zeros({4, 512}), saved), ShapeError);
  CHECK_THROWS_AS(backward(c.dz.to(DType::float64), saved), DtypeError);
  CHECK_THROWS_AS(backward(c.dz, {}), ArgumentError);
  CHECK_THROWS_AS(backward(c.dz, {Tensor::zeros({5, 3}), saved.extremes, {}}), ShapeError);
  CHECK_THROWS_AS(backward(c.dz, {saved.statistics.to(DType::float64), saved.extremes, {}}),
                  DtypeError);
  const Tensor far = Tensor::full({4, 2}, 513, DType::int32);
  CHECK_THROWS_AS(backward(c.dz, {saved.statistics, far, {}}), ShapeError);
}
