#include <limits>

#include "catch.h"
#include "norm_exact.h"

// A row of finite numbers has a finite and right normalisation at every scale.

using namespace normlab;
using namespace normlab::test;

namespace {

bool has_gain(const NormTraits& v) {
  return v.output == Output::affine || v.output == Output::gain;
}

std::vector<NormTraits> with_statistics(bool of_rows) {
  std::vector<NormTraits> all;
  for (const NormTraits& v : kNormVariants)
    if (v.scale != Scale::none && v.scale != Scale::tanh && (v.group == Group::row) == of_rows)
      all.push_back(v);
  return all;
}

std::vector<double> scales_of(DType dtype) {
  if (dtype == DType::float64)
    return {1e-322, 1e-308, 1e-200, 1e-160, 1e-130, 1e-100, 1e-20, 1,    1e20,
            1e100,  1e140,  1e155,  1e160,  1e200,  1e290,  4e307, 1e-5, 1e-9};
  return {3e-45, 1e-42, 1e-38, 1e-35, 1e-30, 1e-22, 1e-19, 1e-15, 1e-12, 1e-9, 1e-5, 1,
          1e5,   1e12,  1e17,  1e18,  1e19,  1e20,  1e22,  1e30,  1e35,  1e37, 8e37};
}

/// One row a scale, |x| <= 4 scale around `mean` scale; then rows of equal numbers.
Tensor rows_at(const std::vector<double>& scales, int64_t H, double mean, DType dtype) {
  Generator generator(3);
  const int64_t rows = static_cast<int64_t>(scales.size());
  std::vector<double> x = randn({rows, H}, 0, 1, DType::float64, generator).to_vector();
  for (size_t r = 0; r < scales.size(); ++r)
    for (int64_t j = 0; j < H; ++j) {
      double& e = x[r * static_cast<size_t>(H) + static_cast<size_t>(j)];
      e = std::clamp(mean + e, -4.0, 4.0) * scales[r];
    }
  const double flat[] = {0, 0.1, -3e-39, 1e5};
  for (const double e : flat) x.insert(x.end(), static_cast<size_t>(H), e);
  return Tensor::of({rows + 4, H}, x).to(dtype);
}

struct Got {
  std::vector<double> z, dx, dgain;
};

Got run(const NormTraits& v, const Tensor& x, const Tensor& dz, const Tensor& gain, NormOptions o,
        Device device) {
  Tensor leaf = x.to(device).detach().clone().set_requires_grad();
  if (gain) o.gain = gain.to(device).detach().clone().set_requires_grad();
  const Tensor z = normalize(leaf, v, o);
  z.backward(dz.to(device));
  return {z.to_vector(), leaf.grad().to_vector(),
          o.gain ? o.gain.grad().to_vector() : std::vector<double>()};
}

/// Compares every row of z and dx, and the gain's gradient.
void check_rows(const NormTraits& v, const Tensor& x, const NormOptions& o, Device device) {
  const int64_t rows = x.size(0), H = x.size(1);
  const DType wide = x.dtype() == DType::float64 ? DType::float64 : DType::float32;
  Generator generator(5);
  const Tensor dz = randn(x.shape(), 0, 1, DType::float64, generator).to(x.dtype());
  const Tensor gain =
      has_gain(v) ? randn({v.scalar_gain ? 1 : H}, 1, 0.3, DType::float64, generator).to(wide)
                  : Tensor();
  const Got got = run(v, x, dz, gain, o, device);
  const long double tolerance = x.dtype() == DType::float64    ? 1e-11L
                                : x.dtype() == DType::bfloat16 ? 1.0L / 64
                                                               : 2e-5L;
  const std::vector<double> of_x = x.to_vector(), of_dz = dz.to_vector();
  const ExactRow::Row gains = all_of(gain);
  ExactRow::Row dgain(static_cast<size_t>(gain ? gain.numel() : 0));
  for (int64_t r = 0; r < rows; ++r) {
    ExactRow e{std::string(v.name), o.denominator == Denominator::std_eps, o.eps, o.C, o.k,
               o.topk_share};
    e.run(row_of(of_x, r, H), row_of(of_dz, r, H), gains, {});
    for (size_t j = 0; j < e.dgain.size() && gain; ++j)
      dgain[v.scalar_gain ? 0 : j] += e.dgain[j];
    CAPTURE(r, of_x[static_cast<size_t>(r * H)]);
    // A GPU's mean is as precise as its dtype's least number.
    const long double least = wide == DType::float64 ? 0x1p-1074L : 0x1p-149L;
    const long double of_mean = device == Device::cuda && e.sigma > 0 ? least / e.sigma : 0;
    CHECK(all_close(row_of<double>(got.z, r, H), e.z, tolerance * greatest(e.z) + of_mean,
                    x.dtype()));
    // Clamped entries' gradients all go to one.
    const long double shares = v.clamp ? 4 : 1;
    CHECK(all_close(row_of<double>(got.dx, r, H), e.dx, shares * tolerance * e.dx_size,
                    x.dtype()));
  }
  if (gain)
    CHECK(all_close(got.dgain, dgain, tolerance * (1 + greatest(dgain)) * 4, wide));
}

NormOptions options_of(const NormTraits& v, bool std_eps, double eps) {
  NormOptions o;
  o.eps = eps;
  o.denominator = std_eps ? Denominator::std_eps : Denominator::var_eps;
  if (v.output == Output::adaptive) o.C = 1.5;
  return o;
}

NormTraits any_of(bool of_rows) {
  static const std::vector<NormTraits> all[] = {with_statistics(false), with_statistics(true)};
  const size_t i = static_cast<size_t>(of_rows ? GENERATE(range(0, 13)) : GENERATE(range(0, 3)));
  return all[of_rows ? 1 : 0].at(i);
}

}  // namespace

TEST_CASE("norm range: rows of every scale", "[norm][range]") {
  REQUIRE(with_statistics(true).size() == 13);
  const NormTraits v = any_of(true);
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const bool std_eps = GENERATE(false, true);
  const int64_t H = GENERATE(2, 3, 33, 402);
  const double mean = GENERATE(0.0, 1.5);
  const double eps = GENERATE(0.0, 1e-5, 1e-30, 1e-80, 1e45);
  CAPTURE(std::string(v.name), name_of(dtype), std_eps, H, mean, eps);
  check_rows(v, rows_at(scales_of(dtype), H, mean, dtype), options_of(v, std_eps, eps),
             Device::cpu);
}

TEST_CASE("norm range: rows of every scale on the GPU", "[norm][range][cuda]") {
  if (!cuda::is_available()) return;
  const NormTraits v = any_of(true);
  const DType dtype = GENERATE(DType::float32, DType::float64, DType::bfloat16);
  const bool std_eps = GENERATE(false, true);
  const int64_t H = GENERATE(5, 20, 96, 600);
  const double mean = H == 20 ? 1.5 : 0.0;
  const double eps = GENERATE(0.0, 1e-5, 1e-80);
  if (H == 600 && (std_eps || eps > 0) && v.name != "layernorm" && v.name != "topk") return;
  CAPTURE(std::string(v.name), name_of(dtype), std_eps, H, mean, eps);
  check_rows(v, rows_at(scales_of(dtype), H, mean, dtype), options_of(v, std_eps, eps),
             Device::cuda);
}
