#include <cmath>

#include "nn/parts.h"
#include "nn/probe.h"
#include "ops/norm_plan.h"
#include "ops/norm_settings.h"

namespace normlab::nn {
namespace {

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

Norm::Norm(const NormSpec& spec, const Shape& size) : spec_(spec), size_(size) {
  check_size(size);
  check_settings("Norm", spec);
  check_groups(size, spec.settings.groups);
  const NormTraits& v = spec_.variant;
  const Shape shape = norm_parameter_shape(v, size);
  const double gain = v.scalar_gain ? std::sqrt(static_cast<double>(size.numel())) : 1.0;
  tensors_.axes = size.rank();
  if (v.takes_gain()) register_parameter("gain", Tensor::full(shape, gain));
  if (v.takes_bias()) register_parameter("bias", Tensor::zeros(shape));
  if (v.takes_alpha()) register_parameter("alpha", Tensor::full({1}, 0.5));
  const bool tracks = spec.settings.track_running_stats && v.group == Group::channel;
  if (v.group != Group::batch && !tracks) return;
  register_buffer("running_mean", Tensor::zeros(shape));
  register_buffer("running_var", Tensor::ones(shape));
}

void Norm::on_register(const std::string& name, const Tensor& value) {
  if (name == "gain") take_tensor(name, value, tensors_.gain);
  if (name == "bias") take_tensor(name, value, tensors_.bias);
  if (name == "alpha") take_tensor(name, value, tensors_.alpha);
  if (name == "running_mean") take_tensor(name, value, tensors_.running_mean);
  if (name == "running_var") take_tensor(name, value, tensors_.running_var);
}

Tensor Norm::forward(const Tensor& x) {
  const int rank = x.rank(), axes = size_.rank();
  check(rank >= axes && x.shape().sub(rank - axes, rank) == size_, "Norm", "the last ", axes,
        " axes of x must be ", size_, ", got x ", x.shape(), " (variant '", spec_.variant.name,
        "')");
  NormParameters tensors = tensors_;  // not changed here: several threads may run one module
  tensors.training = training();
  return observed(*this, x, [&](const Tensor& in) { return normalize(in, spec_, tensors); });
}

}  // namespace normlab::nn
