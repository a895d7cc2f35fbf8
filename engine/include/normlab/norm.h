#pragma once

#include <span>
#include <string_view>
#include <utility>

#include "normlab/tensor.h"

namespace normlab {

/// What a row x is divided by. y = (x - mean) / that, or x / that where the mean stays.
enum class Scale : uint8_t {
  none,  ///< nothing: y = x
  std,   ///< standard deviation around the mean
  rms,   ///< root of the mean square; the mean stays in (Zhang & Sennrich 2019)
  l2,    ///< Euclidean length; the mean stays in (Nguyen & Salazar 2019)
  tanh,  ///< no statistics at all: y = tanh(alpha x) (Zhu et al. 2025)
};

/// What makes z of y.
enum class Output : uint8_t {
  plain,     ///< z = y
  affine,    ///< z = gain * y + bias
  gain,      ///< z = gain * y
  bias,      ///< z = y + bias
  adaptive,  ///< z = phi * y, phi = C (1 - k y), a constant in the backward pass
  residual,  ///< z = x + y, x a constant in the backward pass
};

/// What shares one mean and one scale.
enum class Group : uint8_t {
  row,       ///< all normalised axes of one row
  channels,  ///< a group of channels of one row, with their places (Wu & He 2018)
  channel,   ///< one channel of one row, with its places (Ulyanov et al. 2016)
  batch,     ///< one channel over all rows and places (Ioffe & Szegedy 2015)
};

/// One normalisation layer, stated once: kernels, module, bindings, tests and documents iterate
/// over these rows. Formulas: Xu et al., NeurIPS 2019, sections 2 to 4.
struct NormTraits {
  std::string_view name;
  Scale scale = Scale::std;
  bool grad_mean = true;   ///< false: the mean is a constant in the backward pass
  bool grad_scale = true;  ///< false: so is the scale
  Output output = Output::plain;
  Group group = Group::row;
  bool clamp = false;        ///< the row's extremes are clamped first (authors' mode "topk")
  bool scalar_gain = false;  ///< one gain for the whole row
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

/// The row of that name; ArgumentError that lists the names otherwise.
const NormTraits& norm_variant(std::string_view name);

/// Where eps goes.
enum class Denominator : uint8_t {
  var_eps,  ///< sqrt(biased variance + eps): the paper's text and most frameworks
  std_eps,  ///< unbiased deviation + eps: the authors' code (undefined for one element).
            ///< rms and l2 have no bias to correct: root + eps
};
/// Parses "var_eps" or "std_eps"; ArgumentError otherwise.
Denominator denominator_named(std::string_view name);

/// Everything that is not the variant.
struct NormOptions {
  Tensor gain = {};   ///< undefined: 1. Shape: the normalised axes; [channels] for groups of
                      ///< channels, [1] for scalenorm
  Tensor bias = {};   ///< undefined: 0. Shape as gain
  Tensor alpha = {};  ///< dyt only, [1]; undefined: 0.5
  double eps = 1e-5;
  Denominator denominator = Denominator::var_eps;
  double C = 1.0;             ///< adanorm's scale
  double k = 0.1;             ///< adanorm's slope
  double topk_share = 0.005;  ///< topk clamps max(int(share * H), 1) entries on each side
  int axes = 1;               ///< how many trailing axes form a row
  int64_t groups = 0;         ///< groupnorm: 0 stands for gcd(channels, 32)
  /// batchnorm and instancenorm, [channels], both or none: updated while training with the mean
  /// over the batch and the unbiased variance, used instead of x's own statistics otherwise. They
  /// hold what their dtype can: a variance of 1e60 is infinite in float32.
  Tensor running_mean = {};
  Tensor running_var = {};
  bool training = true;
  double momentum = 0.1;             ///< share of the new batch in the running statistics
  bool track_running_stats = false;  ///< nn::Norm only: instancenorm keeps them, as batchnorm does
};

/// Normalises x as `variant` says, forward and backward fused.
///
/// A row is what the last `axes` axes hold; H is its length. For groups of channels the first of
/// these axes counts channels, the others places: [N, C, H, W] with axes = 3 is the usual
/// batchnorm. Statistics take two passes in float32. A row of finite numbers has a finite y, right
/// at every scale: rows whose squares leave the dtype's range are multiplied by a power of two
/// first. A row of equal elements gives y = 0, with eps = 0 too; its divisor is 0 then, and dx is
/// defined as 0. dx is infinite where 1 / sigma makes it so. No elements at all leave the running
/// statistics as they are.
/// @param x  [..., row], float32 or float64; on the GPU also bfloat16, with parameters in bfloat16
///           or float32 and running statistics in float32.
/// @return   shape and dtype of x; x itself for "none".
/// @throws ShapeError  gain, bias, alpha or running statistics of another shape; no such axes; one
///                     element a row under std_eps; groups that do not divide the channels.
/// @throws ArgumentError  an option that the variant does not take, eps < 0; running statistics in
///                     training with one value a channel.
Tensor normalize(const Tensor& x, const NormTraits& variant, const NormOptions& options = {});
/// {normalize(x + residual), x + residual}: what stands between the parts of a pre-norm
/// Transformer. On a GPU one kernel does both, and the sum is not read again.
/// @throws ShapeError   residual is not shaped like x; as normalize() otherwise.
/// @throws DtypeError   residual has another dtype than x.
/// @throws DeviceError  residual is elsewhere than x.
std::pair<Tensor, Tensor> normalize_residual(const Tensor& x, const Tensor& residual,
                                             const NormTraits& variant,
                                             const NormOptions& options = {});

/// Whether feature_norm_linear() takes the variant: rows of their own, divided by nothing, by their
/// deviation or by their root mean square, and neither clamped nor added to.
bool splits_over_features(const NormTraits& variant);
/// feature_linear() behind a norm of the joined embeddings: what embedding() of the features,
/// joined, normalize() and linear() would give, but each distinct pair of position and row is still
/// multiplied once, forward and backward. With x[i] the joined rows of example i and
/// y = (x - mean) rstd,
///   z[i] = bias + sum over p of (gain * y + norm bias)[p] weight[p];
/// y is linear in x but for two numbers an example, so W y comes apart into sums over the pairs;
/// adanorm's y^2 (Xu et al., NeurIPS 2019, section 4) likewise.
/// @param table     [V, E]; its gradient arrives as sparse rows, on the GPU dense.
/// @param features  int32 [N, P], rows of the table (RangeError naming place and row otherwise).
/// @param weight    [P, E, H].
/// @param bias      [H] or undefined.
/// @param options   gain and bias [P * E], as the variant takes them; eps, denominator, C, k.
/// @return          [N, H].
/// @throws ArgumentError  a variant that does not split, an option that it does not take, eps < 0.
Tensor feature_norm_linear(const Tensor& table, const Tensor& features, const Tensor& weight,
                           const Tensor& bias, const NormTraits& variant,
                           const NormOptions& options = {});

}  // namespace normlab
