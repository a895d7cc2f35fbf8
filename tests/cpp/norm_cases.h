#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "catch.h"
#include "gradcheck.h"
#include "norm_inputs.h"
#include "norm_oracle.h"

namespace normlab::test {

/// The variants whose statistics are a row's, or the others.
inline std::vector<NormTraits> variants_of_rows(bool rows) {
  std::vector<NormTraits> found;
  for (const NormTraits& v : kNormVariants)
    if ((v.group == Group::row) == rows) found.push_back(v);
  return found;
}
inline NormTraits any_row_variant() {
  return GENERATE(from_range(variants_of_rows(true)));
}
inline NormTraits any_channel_variant() {
  return GENERATE(from_range(variants_of_rows(false)));
}

struct Case {
  Tensor x, gain, bias, dz;
  NormTraits variant = {};
};

/// Random values of that dtype; the parameters that the variant takes.
inline Case make_case(const NormTraits& v, int64_t rows, int64_t H, DType dtype, double mean = 0) {
  Generator generator(7);
  Case c;
  c.variant = v;
  c.x = randn({rows, H}, mean, 1.5, DType::float64, generator).to(dtype);
  c.dz = randn({rows, H}, 0, 1, DType::float64, generator).to(dtype);
  const int64_t width = v.scalar_gain ? 1 : H;
  if (v.takes_gain()) c.gain = randn({width}, 1, 0.3, DType::float64, generator).to(dtype);
  if (v.takes_bias()) c.bias = randn({width}, 0, 0.3, DType::float64, generator).to(dtype);
  return c;
}

inline NormInputs options_of(const Case& c, Denominator d = Denominator::var_eps) {
  NormInputs o;
  o.gain = c.gain;
  o.bias = c.bias;
  if (c.variant.has_statistics()) o.denominator = d;
  if (c.variant.output == Output::adaptive) o.C = 1.5;
  return o;
}

struct Results {
  Tensor z, dx, dgain, dbias;
};

inline Results run(const NormTraits& v, Case c, NormInputs o) {
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
inline Case to_double(const Case& c) {
  const auto up = [](const Tensor& t) {
    return t ? t.detach().to(DType::float64).detach().clone() : Tensor();
  };
  return {up(c.x), up(c.gain), up(c.bias), up(c.dz), c.variant};
}

inline double scale_of(const Tensor& t) {
  double most = 1;
  for (double v : t.to_vector()) most = std::max(most, std::abs(v));
  return most;
}

inline void check_close(const Tensor& got, const Tensor& want, double tolerance) {
  REQUIRE(got.defined() == want.defined());
  if (got) CHECK(max_difference(got, want) <= tolerance * scale_of(want));
}

/// normalize() as a function of x and whatever parameters o has.
struct NormCall {
  Op op;
  std::vector<Tensor> inputs;

  NormCall(const NormTraits& v, const Tensor& x, const NormInputs& o) {
    inputs.push_back(x.detach().clone().set_requires_grad());
    for (const Tensor& parameter : {o.gain, o.bias, o.alpha})
      if (parameter) inputs.push_back(parameter.detach().clone().set_requires_grad());
    op = [v, o](const std::vector<Tensor>& in) {
      NormInputs own = o;
      size_t next = 1;
      for (Tensor* parameter : {&own.gain, &own.bias, &own.alpha})
        if (*parameter) *parameter = in[next++];
      return normalize(in[0], v, own);
    };
  }
};

}  // namespace normlab::test
