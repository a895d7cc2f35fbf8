#pragma once

#include <concepts>
#include <string>
#include <string_view>
#include <utility>

#include "normlab/tensor.h"

namespace normlab {

/// Divisor of a row x: y = (x - mean) / divisor, or x / divisor where the mean stays.
enum class Scale : uint8_t {
  none,  ///< nothing: y = x
  std,   ///< standard deviation around the mean
  rms,   ///< root of the mean square; the mean stays in (Zhang & Sennrich 2019)
  l2,    ///< Euclidean length; the mean stays in (Nguyen & Salazar 2019)
  tanh,  ///< no statistics at all: y = tanh(alpha x) (Zhu et al. 2025)
};

/// Output transform: z from y.
enum class Output : uint8_t {
  plain,     ///< z = y
  affine,    ///< z = gain * y + bias
  gain,      ///< z = gain * y
  bias,      ///< z = y + bias
  adaptive,  ///< z = phi * y, phi = C (1 - k y), a constant in the backward pass
  residual,  ///< z = x + y, x a constant in the backward pass
};

/// Elements that share one mean and one scale.
enum class Group : uint8_t {
  row,       ///< all normalised axes of one row
  channels,  ///< a group of channels of one row, with their places (Wu & He 2018)
  channel,   ///< one channel of one row, with its places (Ulyanov et al. 2016)
  batch,     ///< one channel over all rows and places (Ioffe & Szegedy 2015)
};

/// One norm variant, defined once: kernels, module, bindings, tests and documents iterate over
/// these rows. Formulas: Xu et al., NeurIPS 2019, sections 2 to 4.
struct NormTraits {
  std::string_view name;
  Scale scale = Scale::std;
  bool grad_mean = true;   ///< false: the mean is a constant in the backward pass
  bool grad_scale = true;  ///< false: so is the scale
  Output output = Output::plain;
  Group group = Group::row;
  bool clamp = false;        ///< the row's extremes are clamped first (authors' mode "topk")
  bool scalar_gain = false;  ///< one gain for the whole row

  // Consequences of the row, for the host and the device.
  constexpr bool takes_gain() const { return output == Output::affine || output == Output::gain; }
  constexpr bool takes_bias() const { return output == Output::affine || output == Output::bias; }
  constexpr bool takes_alpha() const { return scale == Scale::tanh; }
  constexpr bool takes_running_stats() const {
    return group == Group::batch || group == Group::channel;
  }
  /// A mean is subtracted.
  constexpr bool centred() const { return scale == Scale::std; }
  /// The scale is computed from the elements.
  constexpr bool has_statistics() const {
    return scale == Scale::std || scale == Scale::rms || scale == Scale::l2;
  }
  /// The mean, or the scale, has a gradient.
  constexpr bool mean_has_gradient() const { return centred() && grad_mean; }
  constexpr bool scale_has_gradient() const { return has_statistics() && grad_scale; }
};

// clang-format off
inline constexpr NormTraits kNormVariants[] = {
    {.name = "none",             .scale = Scale::none},
    {.name = "layernorm",        .output = Output::affine},
    {.name = "layernorm_simple"},
    {.name = "detachnorm",       .grad_mean = false, .grad_scale = false},
    {.name = "detach_mean",      .grad_mean = false},
    {.name = "detach_std",       .grad_scale = false},
    {.name = "adanorm",          .output = Output::adaptive},
    {.name = "gradnorm",         .output = Output::residual},
    {.name = "topk",             .output = Output::affine, .clamp = true},
    {.name = "gain_only",        .output = Output::gain},
    {.name = "bias_only",        .output = Output::bias},
    {.name = "rmsnorm",          .scale = Scale::rms, .output = Output::gain},
    {.name = "rmsnorm_simple",   .scale = Scale::rms},
    {.name = "scalenorm",        .scale = Scale::l2, .output = Output::gain, .scalar_gain = true},
    {.name = "dyt",              .scale = Scale::tanh, .output = Output::affine},
    {.name = "batchnorm",        .output = Output::affine, .group = Group::batch},
    {.name = "groupnorm",        .output = Output::affine, .group = Group::channels},
    {.name = "instancenorm",     .output = Output::affine, .group = Group::channel},
};
// clang-format on

/// The row of that name. ArgumentError that lists the names otherwise.
const NormTraits& norm_variant(std::string_view name);

/// Place of eps in the divisor.
enum class Denominator : uint8_t {
  var_eps,  ///< sqrt(biased variance + eps): the paper's text and most frameworks
  std_eps,  ///< unbiased deviation + eps: the authors' code (undefined for one element).
            ///< rms and l2 have no bias to correct: root + eps
};
/// Parses "var_eps" or "std_eps". ArgumentError otherwise.
Denominator denominator_named(std::string_view name);
const char* name_of(Denominator denominator);

/// The numbers of a norm. A variant takes some of them; see for_each_setting().
struct NormSettings {
  double eps = 1e-5;
  Denominator denominator = Denominator::var_eps;
  double C = 1.0;                    ///< adanorm's scale
  double k = 0.1;                    ///< adanorm's slope
  int64_t groups = 0;                ///< groupnorm: 0 stands for gcd(channels, 32)
  double momentum = 0.1;             ///< share of the new batch in the running statistics
  double topk_share = 0.005;         ///< topk clamps max(int(share * H), 1) entries on each side
  bool track_running_stats = false;  ///< nn::Norm only: instancenorm keeps them, as batchnorm does
};

/// Range of a setting.
enum class SettingRange : uint8_t { any, finite, non_negative, share };

/// Calls visit(name, pointer to the member, range, whether the variant takes it) for every setting:
/// all that checks, prints, saves or parses settings iterates over these rows. eps and the
/// denominator are for all variants, which are compared under one setting of them.
template <class Visit>
void for_each_setting(const NormTraits& v, const Visit& visit) {
  using S = NormSettings;
  visit("eps", &S::eps, SettingRange::non_negative, true);
  visit("denominator", &S::denominator, SettingRange::any, true);
  visit("C", &S::C, SettingRange::finite, v.output == Output::adaptive);
  visit("k", &S::k, SettingRange::finite, v.output == Output::adaptive);
  visit("groups", &S::groups, SettingRange::non_negative, v.group == Group::channels);
  visit("momentum", &S::momentum, SettingRange::share, v.takes_running_stats());
  visit("topk_share", &S::topk_share, SettingRange::share, v.clamp);
  visit("track_running_stats", &S::track_running_stats, SettingRange::any, v.takes_running_stats());
}

/// The choice of a norm: a variant with its settings. Converts from a variant or its name.
struct NormSpec {
  NormTraits variant;
  NormSettings settings;

  NormSpec() : NormSpec("layernorm") {}
  NormSpec(const NormTraits& variant, const NormSettings& settings = {})
      : variant(variant), settings(settings) {}
  /// ArgumentError that lists the names for an unknown one.
  template <std::convertible_to<std::string_view> Name>
  NormSpec(const Name& name, const NormSettings& settings = {})
      : NormSpec(norm_variant(name), settings) {}

  std::string name() const { return std::string(variant.name); }
  /// Name and changed settings as Python's arguments: "'adanorm', C=1.5".
  std::string str() const;
};

/// The tensors of a norm, and how they meet x.
struct NormParameters {
  Tensor gain = {};   ///< undefined: 1. Shape: the normalised axes; [channels] for groups of
                      ///< channels, [1] for scalenorm
  Tensor bias = {};   ///< undefined: 0. Shape as gain
  Tensor alpha = {};  ///< dyt only, [1]; undefined: 0.5
  /// batchnorm and instancenorm, [channels], both or none: updated while training with the mean
  /// over the batch and the unbiased variance, used instead of x's own statistics otherwise. They
  /// hold what their dtype can: a variance of 1e60 is infinite in float32.
  Tensor running_mean = {};
  Tensor running_var = {};
  int axes = 1;  ///< how many trailing axes form a row
  bool training = true;
};

/// Normalises x as `spec` says, forward and backward fused.
///
/// A row is what the last `axes` axes hold; H is its length. For groups of channels the first of
/// these axes counts channels, the others places: [N, C, H, W] with axes = 3 is the usual
/// batchnorm. Statistics take two passes in float32. A row of finite numbers has a finite y, right
/// at every scale: rows whose squares leave the dtype's range are multiplied by a power of two
/// first. A row of equal elements gives y = 0, with eps = 0 too; its divisor is 0 then, and dx is
/// defined as 0. dx is infinite where 1 / sigma makes it so. No elements at all leave the running
/// statistics as they are.
/// @param x  [..., row], float32, float64 or bfloat16; beside bfloat16 parameters are bfloat16 or
///           float32 and running statistics float32.
/// @return   shape and dtype of x; x itself for "none".
/// @throws ShapeError  gain, bias, alpha or running statistics of another shape; no such axes; one
///                     element a row under std_eps; groups that do not divide the channels.
/// @throws ArgumentError  a setting or tensor that the variant does not take, eps < 0; running
///                     statistics in training with one value a channel.
Tensor normalize(const Tensor& x, const NormSpec& spec, const NormParameters& parameters = {});
/// {normalize(x + residual), x + residual}: the step between the parts of a pre-norm Transformer.
/// On a GPU one kernel does both, and the sum is not read again.
/// @throws ShapeError   residual is not shaped like x; as normalize() otherwise.
/// @throws DtypeError   residual has another dtype than x.
/// @throws DeviceError  residual is elsewhere than x.
std::pair<Tensor, Tensor> normalize_residual(const Tensor& x, const Tensor& residual,
                                             const NormSpec& spec,
                                             const NormParameters& parameters = {});

}  // namespace normlab
