#include "normlab/norm.h"

#include <cmath>

#include "nn/parts.h"
#include "nn/probe.h"
#include "ops/norm.h"

namespace normlab::nn {
namespace {

bool has_gain(const NormTraits& traits) {
  return traits.output == Output::affine || traits.output == Output::gain;
}

bool has_bias(const NormTraits& traits) {
  return traits.output == Output::affine || traits.output == Output::bias;
}

/// The shape of gain and bias, and of the running statistics: all that is learned for one row.
Shape learned_shape(const NormTraits& traits, const Shape& size) {
  if (traits.scalar_gain) return {1};
  return traits.group == Group::row ? size : Shape{size[0]};
}

void check_size(const Shape& size) {
  check<ArgumentError>(size.rank() > 0, "Norm", "size must have at least one axis");
  for (const int64_t length : size)
    check<ArgumentError>(length > 0, "Norm", "size must be positive, got ", size);
}

void check_groups(const Shape& size, int64_t groups) {
  check<ArgumentError>(groups == 0 || size[0] % groups == 0, "Norm",
                       "groups must divide the channels, got ", groups, " groups for ", size[0],
                       " channels");
}

}  // namespace

Norm::Norm(std::string_view variant, const Shape& size, const NormOptions& options)
    : traits_(norm_variant(variant)), size_(size), options_(options) {
  check_size(size);
  check_numbers("Norm", traits_, options);
  check_groups(size, options.groups);
  const Shape shape = learned_shape(traits_, size);
  const double gain = traits_.scalar_gain ? std::sqrt(static_cast<double>(size.numel())) : 1.0;
  NormOptions& own = options_;
  own.axes = size.rank();
  own.gain = own.bias = own.alpha = own.running_mean = own.running_var = {};
  if (has_gain(traits_)) register_parameter("gain", Tensor::full(shape, gain));
  if (has_bias(traits_)) register_parameter("bias", Tensor::zeros(shape));
  if (traits_.scale == Scale::tanh) register_parameter("alpha", Tensor::full({1}, 0.5));
  const bool tracks = options.track_running_stats && traits_.group == Group::channel;
  if (traits_.group != Group::batch && !tracks) return;
  register_buffer("running_mean", Tensor::zeros(shape));
  register_buffer("running_var", Tensor::ones(shape));
}

void Norm::on_register(const std::string& name, const Tensor& value) {
  if (name == "gain") take_tensor(name, value, options_.gain);
  if (name == "bias") take_tensor(name, value, options_.bias);
  if (name == "alpha") take_tensor(name, value, options_.alpha);
  if (name == "running_mean") take_tensor(name, value, options_.running_mean);
  if (name == "running_var") take_tensor(name, value, options_.running_var);
}

Tensor Norm::forward(const Tensor& x) {
  const int rank = x.rank(), axes = size_.rank();
  check(rank >= axes && x.shape().sub(rank - axes, rank) == size_, "Norm", "the last ", axes,
        " axes of x must be ", size_, ", got x ", x.shape(), " (variant '", traits_.name, "')");
  NormOptions options = options_;  // not changed here: several threads may run one module
  options.training = training();
  return observed(*this, x, [&](const Tensor& in) { return normalize(in, traits_, options); });
}

}  // namespace normlab::nn
