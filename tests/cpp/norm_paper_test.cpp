#include "norm_cases.h"

// The paper's theorems and its two denominators.

using namespace normlab;
using namespace normlab::test;

TEST_CASE("norm: Theorem 1, mean and variance of dx at eps = 0", "[norm][theorem]") {
  const std::string name = GENERATE("detachnorm", "detach_mean", "detach_std", "layernorm_simple");
  CAPTURE(name);
  const bool mean_kept = name == "detach_std" || name == "layernorm_simple";
  const bool std_kept = name == "detach_mean" || name == "layernorm_simple";
  const NormTraits& v = norm_variant(name);
  const Case c = make_case(v, 20, 65, DType::float64);
  NormInputs o;
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
  NormInputs o;
  o.eps = 0;
  o.C = 1.7;
  o.k = 0.1;
  const Tensor z = normalize(c.x, norm_variant("adanorm"), o);
  const Tensor y = normlab::normalize(c.x, {"layernorm_simple", {.eps = 0}});
  check_close(mean(z, {1}), Tensor::full({9}, -1.7 * 0.1, DType::float64), 1e-12);
  check_close(mean(1.7 * (1.0 - 0.1 * y), {1}), Tensor::full({9}, 1.7, DType::float64), 1e-12);
}

TEST_CASE("norm: the two denominators differ as paper and code do", "[norm]") {
  const Tensor x = Tensor::of<float>({1, 2}, {-1, 1});
  NormInputs o;
  o.eps = 0;
  const NormTraits& v = norm_variant("layernorm_simple");
  CHECK(std::abs(normalize(x, v, o)[0][1].item() - 1) < 1e-6);
  o.denominator = Denominator::std_eps;
  CHECK(std::abs(normalize(x, v, o)[0][1].item() - 1 / std::sqrt(2.0)) < 1e-6);
}
