#include <limits>

#include "catch.h"
#include "device.h"
#include "norm_exact.h"
#include "norm_inputs.h"

// A row of finite numbers has a finite and right normalisation at every scale.

using namespace normlab;
using namespace normlab::test;

namespace {

std::vector<NormTraits> rows_with_statistics() {
  std::vector<NormTraits> all;
  for (const NormTraits& v : kNormVariants)
    if (v.has_statistics() && v.group == Group::row) all.push_back(v);
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

Got run(const NormTraits& v, const Tensor& x, const Tensor& dz, const Tensor& gain, NormInputs o,
        Device device) {
  Tensor leaf = x.to(device).detach().clone().set_requires_grad();
  if (gain) o.gain = gain.to(device).detach().clone().set_requires_grad();
  const Tensor z = normalize(leaf, v, o);
  z.backward(dz.to(device));
  return {z.to_vector(), leaf.grad().to_vector(),
          o.gain ? o.gain.grad().to_vector() : std::vector<double>()};
}

/// A GPU's mean is as precise as its dtype's least number: what that does to y.
long double from_mean(const ExactRow& e, DType dtype, Device device) {
  const long double least = dtype == DType::float64 ? 0x1p-1074L : 0x1p-149L;
  return device == Device::cuda && e.sigma > 0 ? least / e.sigma : 0;
}

/// Compares every row of z and dx, and the gain's gradient.
void check_rows(const NormTraits& v, const Tensor& x, const NormInputs& o, Device device) {
  const int64_t rows = x.size(0), H = x.size(1);
  const DType wide = x.dtype() == DType::float64 ? DType::float64 : DType::float32;
  Generator generator(5);
  const Tensor dz = randn(x.shape(), 0, 1, DType::float64, generator).to(x.dtype());
  const Tensor gain =
      v.takes_gain() ? randn({v.scalar_gain ? 1 : H}, 1, 0.3, DType::float64, generator).to(wide)
                     : Tensor();
  const Got got = run(v, x, dz, gain, o, device);
  const long double tolerance = x.dtype() == DType::float64    ? 1e-11L
                                : x.dtype() == DType::bfloat16 ? 1.0L / 64
                                                               : 2e-5L;
  const std::vector<double> of_x = x.to_vector(), of_dz = dz.to_vector();
  const ExactRow::Row gains = all_of(gain);
  ExactRow::Row dgain(static_cast<size_t>(gain ? gain.numel() : 0));
  for (int64_t r = 0; r < rows; ++r) {
    ExactRow e{v, o.denominator == Denominator::std_eps, o.eps, o.C, o.k, o.topk_share};
    e.run(row_of(of_x, r, H), row_of(of_dz, r, H), gains, {});
    for (size_t j = 0; j < e.dgain.size() && gain; ++j) dgain[v.scalar_gain ? 0 : j] += e.dgain[j];
    CAPTURE(r, of_x[static_cast<size_t>(r * H)]);
    CHECK(all_close(row_of<double>(got.z, r, H), e.z,
                    tolerance * greatest(e.z) + from_mean(e, wide, device), x.dtype()));
    // Clamped entries' gradients all go to one.
    const long double shares = v.clamp ? 4 : 1;
    CHECK(all_close(row_of<double>(got.dx, r, H), e.dx, shares * tolerance * e.dx_size, x.dtype()));
  }
  if (gain) CHECK(all_close(got.dgain, dgain, tolerance * (1 + greatest(dgain)) * 4, wide));
}

NormInputs options_of(const NormTraits& v, bool std_eps, double eps) {
  NormInputs o;
  o.eps = eps;
  o.denominator = std_eps ? Denominator::std_eps : Denominator::var_eps;
  if (v.output == Output::adaptive) o.C = 1.5;
  return o;
}

NormTraits any_row_variant() {
  return GENERATE(from_range(rows_with_statistics()));
}

/// x [N, C, S], what shares statistics as rows: those of a channel for batchnorm.
Tensor as_rows(const Tensor& x, const std::string& name) {
  const int64_t N = x.size(0), C = x.size(1), S = x.size(2);
  if (name == "batchnorm") return transpose(x, {1, 0, 2}).reshape({C, N * S});
  return name == "groupnorm" ? x.reshape({N * 2, C / 2 * S}) : x.reshape({N * C, S});
}

/// The rows are those of layernorm_simple, forward and backward.
void check_channels(const std::string& name, const Tensor& x, const NormInputs& o, Device device) {
  Generator generator(5);
  const Tensor dz = randn(x.shape(), 0, 1, DType::float64, generator).to(x.dtype());
  NormInputs own = o;
  own.axes = 2;
  if (name == "groupnorm") own.groups = 2;
  if (name != "groupnorm") {
    own.running_mean = Tensor::zeros({x.size(1)}, x.dtype(), device);
    own.running_var = Tensor::ones({x.size(1)}, x.dtype(), device);
  }
  const Got got = run(norm_variant(name), x, dz, Tensor::ones({x.size(1)}, x.dtype()), own, device);
  const auto rows = [&](const std::vector<double>& all) {
    return as_rows(Tensor::of(x.shape(), all), name);
  };
  const Tensor of_x = as_rows(x, name), of_dz = as_rows(dz, name);
  const int64_t H = of_x.size(1);
  const std::vector<double> z = rows(got.z).to_vector(), dx = rows(got.dx).to_vector();
  const std::vector<double> from = of_x.to_vector(), dzs = of_dz.to_vector();
  const long double tolerance = x.dtype() == DType::float64 ? 1e-11L : 2e-5L;
  for (int64_t r = 0; r < of_x.size(0); ++r) {
    ExactRow e{norm_variant("layernorm_simple"), o.denominator == Denominator::std_eps, o.eps};
    e.run(row_of(from, r, H), row_of(dzs, r, H), {}, {});
    CAPTURE(r, from[static_cast<size_t>(r * H)]);
    CHECK(all_close(row_of<double>(z, r, H), e.z,
                    tolerance * greatest(e.z) + from_mean(e, x.dtype(), device), x.dtype()));
    CHECK(all_close(row_of<double>(dx, r, H), e.dx, tolerance * e.dx_size, x.dtype()));
  }
  if (name == "groupnorm") return;
  for (const double mean : own.running_mean.to_vector()) CHECK(std::isfinite(mean));
  for (const double var : own.running_var.to_vector()) CHECK_FALSE(std::isnan(var));
}

/// [N, C, S] whose channels, or the rows of each, have scales of their own.
Tensor channels_at(const std::vector<double>& scales, int64_t S, DType dtype) {
  const int64_t C = static_cast<int64_t>(scales.size());
  Generator generator(7);
  const Tensor unit = randn({3, C, S}, 0.5, 1, DType::float64, generator);
  const Tensor size = Tensor::of({C, 1}, scales);
  Tensor x = maximum(minimum(unit, Tensor::full({}, 4, DType::float64)),
                     Tensor::full({}, -4, DType::float64));
  return (x * size).to(dtype);
}

}  // namespace

TEST_CASE("norm range: rows of every scale", "[norm][range]") {
  const NormTraits v = any_row_variant();
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
  if (!test::has_device()) return;
  const NormTraits v = any_row_variant();
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

TEST_CASE("norm range: channels of every scale", "[norm][range][cuda]") {
  const std::string name = GENERATE("batchnorm", "instancenorm", "groupnorm");
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const int64_t S = GENERATE(1, 6, 700);
  const bool std_eps = GENERATE(false, true);
  const double eps = GENERATE(0.0, 1e-5);
  if (S == 1 && name != "batchnorm") return;
  std::vector<double> scales = scales_of(dtype);
  if (scales.size() % 2 == 1) scales.push_back(0);
  if (name == "groupnorm") std::sort(scales.begin(), scales.end());
  CAPTURE(name, name_of(dtype), S, std_eps, eps);
  const NormInputs o = options_of(norm_variant(name), std_eps, eps);
  const Tensor x = channels_at(scales, S, dtype);
  check_channels(name, x, o, Device::cpu);
  if (test::has_device() && (S < 700 || eps == 0)) check_channels(name, x, o, Device::cuda);
}

TEST_CASE("norm range: long rows, shared rows and residuals on the GPU", "[norm][range][cuda]") {
  if (!test::has_device()) return;
  const NormTraits& v = norm_variant("layernorm");
  const int64_t H = GENERATE(2000, 17000, 33000, 140000);
  CAPTURE(H);
  const Tensor x = rows_at({1e-30, 1, 1e25}, H, 0, DType::float32);
  NormInputs o;
  o.eps = 0;
  check_rows(v, x, o, Device::cuda);
  if (H > 33000) return;
  const Tensor half = (x / 2).to(Device::cuda);
  const std::vector<double> got = normalize_residual(half, half, v, o).first.to_vector();
  const std::vector<double> want = normalize(x.to(Device::cuda), v, o).to_vector();
  CHECK(got == want);
}

TEST_CASE("norm range: one large entry, and infinities", "[norm][range][cuda]") {
  for (const Device device : {Device::cpu, Device::cuda}) {
    if (device == Device::cuda && !test::has_device()) continue;
    Tensor x = rows_at({1, 1, 1}, 50, 0, DType::float32);
    x.data<float>()[7] = 3e38f;
    x.data<float>()[60] = -1e25f;
    const NormTraits& v = norm_variant("layernorm_simple");
    check_rows(v, x, {}, device);
    x.data<float>()[60] = std::numeric_limits<float>::infinity();
    const std::vector<double> z = normalize(x.to(device), v).to_vector();
    for (size_t i = 0; i < z.size(); ++i) {
      const bool broken = i >= 50 && i < 100;
      CHECK(std::isnan(z[i]) == broken);
    }
  }
}
