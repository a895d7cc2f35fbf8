#include "catch.h"
#include "gradcheck.h"

using namespace normlab;
using namespace normlab::test;

namespace {

/// The same moments from the definition, in double.
RowMoments plain_moments(const Tensor& x, int64_t H) {
  const Tensor rows = x.detach().to(DType::float64).reshape({-1, H});
  RowMoments m;
  m.mean = mean(rows).item();
  m.row_mean = mean(abs(mean(rows, {1}))).item();
  m.row_var = mean(var(rows, {1})).item();
  m.norm = std::sqrt(sum(rows * rows).item());
  return m;
}

void check_moments(const RowMoments& got, const RowMoments& want) {
  CHECK(std::abs(got.mean - want.mean) < 1e-5);
  CHECK(std::abs(got.row_mean - want.row_mean) < 1e-5);
  CHECK(std::abs(got.row_var - want.row_var) < 1e-4 * (1 + want.row_var));
  CHECK(std::abs(got.norm - want.norm) < 1e-4 * (1 + want.norm));
}

}  // namespace

TEST_CASE("probe: row moments are their definition", "[probe]") {
  const int64_t H = GENERATE(1, 3, 16, 513);
  Generator generator(1);
  const Tensor x = randn({20, H}, 3, 2, DType::float32, generator);
  check_moments(row_moments(x, H), plain_moments(x, H));
  CHECK_THROWS_AS(row_moments(x, 20 * H + 1), ShapeError);
}

TEST_CASE("probe: records activations and gradients of every norm layer and step", "[probe]") {
  manual_seed(3);
  auto first = std::make_shared<nn::Norm>("layernorm", Shape{8});
  auto second = std::make_shared<nn::Norm>("adanorm", Shape{8});
  nn::Sequential net(
      {std::make_shared<nn::Linear>(5, 8), first, std::make_shared<nn::Linear>(8, 8), second});
  const Tensor x = randn({6, 5}), w = randn({6, 8});
  Probe probe(net);
  for (int step = 0; step < 2; ++step) {
    net.forward(x).backward(w);
    probe.next_step();
  }
  REQUIRE(probe.records().size() == 4);
  const NormRecord& r = probe.records()[3];
  CHECK(r.layer == "3");
  CHECK(r.variant == "adanorm");
  CHECK(r.step == 1);
  CHECK(r.has_gradient);
  check_moments(r.dz, plain_moments(w, 8));
  CHECK(r.dx.row_mean < 1e-6);  // differentiating through the mean re-centres the gradient
  CHECK(probe.records()[0].layer == "1");
  CHECK(probe.records()[0].z.row_mean < 1e-6);
  probe.clear();
  CHECK(probe.records().empty());
}

TEST_CASE("probe: changes no value, and rests between its steps", "[probe]") {
  manual_seed(4);
  auto norm = std::make_shared<nn::Norm>("layernorm_simple", Shape{33});
  Tensor x = randn({7, 33}).set_requires_grad();
  const Tensor w = randn({7, 33});
  const Tensor plain = norm->forward(x);
  plain.backward(w);
  const Tensor dx = x.grad();
  x.zero_grad();
  Probe probe(2);
  for (int step = 0; step < 3; ++step) {
    x.zero_grad();
    const Tensor z = norm->forward(x);
    z.backward(w);
    CHECK(max_difference(z, plain) == 0);
    CHECK(max_difference(x.grad(), dx) == 0);
    probe.next_step();
  }
  CHECK(probe.records().size() == 2);
  CHECK_THROWS_AS(Probe(0), ArgumentError);
}

TEST_CASE("probe: counts what phi would clip", "[probe]") {
  // One element far out: y = sqrt(H - 1) there, above 1 / k = 10 for H = 200.
  const int64_t H = 200;
  Tensor x = Tensor::zeros({1, H});
  x.data<float>()[17] = 5;
  nn::Norm norm("adanorm", {H});
  Probe probe;
  norm.forward(x);
  CHECK(std::abs(probe.records()[0].clipped - 1.0 / 200) < 1e-12);
  norm.forward(randn({10, H}));
  CHECK(probe.records()[1].clipped == 0);
}

TEST_CASE("probe: probes nest, and a backward pass may outlive them", "[probe]") {
  nn::Norm norm("layernorm", {8});
  Tensor x = randn({2, 8}).set_requires_grad();
  Probe outer;
  Tensor z;
  {
    Probe inner;
    z = norm.forward(x);
    CHECK(inner.records().size() == 1);
  }
  z.backward(randn({2, 8}));
  CHECK(outer.records().empty());
  norm.forward(x);
  CHECK(outer.records().size() == 1);
}
