#include "norm_cases.h"

// The row that new_row.cmake adds to the table.

using namespace normlab;
using namespace normlab::test;

TEST_CASE("norm: a new row of the table is a norm", "[norm]") {
  const NormTraits& v = norm_variant("bias_detach_mean");
  const std::vector<NormTraits> rows = variants_of_rows(true);
  CHECK(std::any_of(rows.begin(), rows.end(), [&](const auto& r) { return r.name == v.name; }));
  nn::Norm norm("bias_detach_mean", {8});
  CHECK(norm.own_parameters().size() == 1);
  CHECK(norm.own_parameters()[0].first == "bias");
  // The formula, by hand: y + bias forward; the mean's term is absent backward.
  const Tensor x = leaf({3, 8}, 1), bias = leaf({8}, 2), dz = leaf({3, 8}, 3).detach();
  const Tensor z = normalize(x, v, NormParameters{.bias = bias});
  z.backward(dz);
  const Tensor rest = x.detach() - mean(x.detach(), {1}, true);
  const Tensor sigma = sqrt(mean(rest * rest, {1}, true) + 1e-5), y = rest / sigma;
  check_close(z.detach(), y + bias.detach(), 1e-12);
  check_close(x.grad(), (dz - y * mean(dz * y, {1}, true)) / sigma, 1e-12);
  check_close(bias.grad(), sum(dz, {0}), 1e-12);
}
