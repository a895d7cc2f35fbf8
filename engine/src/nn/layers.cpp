#include <cmath>

#include "nn/parts.h"

namespace normlab::nn {
namespace {

/// Uniform in +-1/sqrt(fan_in).
Tensor uniform(const Shape& shape, int64_t fan_in) {
  const double bound = 1 / std::sqrt(static_cast<double>(fan_in));
  return rand(shape, -bound, bound);
}

}  // namespace

Linear::Linear(int64_t in, int64_t out, bool with_bias, Activation activation)
    : activation_(activation) {
  check<ArgumentError>(in > 0 && out > 0, "Linear", "in and out must be positive, got ", in,
                       " and ", out);
  register_parameter("weight", uniform({out, in}, in));
  if (with_bias) register_parameter("bias", uniform({out}, in));
}

void Linear::on_register(const std::string& name, const Tensor& value) {
  if (name == "weight") take_tensor(name, value, weight);
  if (name == "bias") take_tensor(name, value, bias);
}

Tensor Linear::forward(const Tensor& x) {
  return linear(x, weight, bias, activation_);
}

Conv2d::Conv2d(int64_t in, int64_t out, std::pair<int64_t, int64_t> kernel,
               const Conv2dOptions& options, bool with_bias)
    : options_(options) {
  const auto [kh, kw] = kernel;
  const int64_t groups = options.groups;
  check<ArgumentError>(in > 0 && out > 0 && kh > 0 && kw > 0, "Conv2d",
                       "channels and kernel must be positive, got ", in, " to ", out,
                       " channels and ", kh, " x ", kw);
  check<ArgumentError>(options.stride_h > 0 && options.stride_w > 0, "Conv2d",
                       "strides must be positive, got ", options.stride_h, " x ", options.stride_w);
  check<ArgumentError>(options.padding_h >= 0 && options.padding_w >= 0, "Conv2d",
                       "padding must not be negative, got ", options.padding_h, " x ",
                       options.padding_w);
  check<ArgumentError>(!options.same || (options.stride_h == 1 && options.stride_w == 1), "Conv2d",
                       "padding 'same' needs stride 1, got ", options.stride_h, " x ",
                       options.stride_w);
  check<ArgumentError>(options.dilation_h > 0 && options.dilation_w > 0, "Conv2d",
                       "dilations must be positive, got ", options.dilation_h, " x ",
                       options.dilation_w);
  check<ArgumentError>(groups > 0 && in % groups == 0 && out % groups == 0, "Conv2d",
                       "groups must ", "divide both numbers of channels, got ", groups, " for ", in,
                       " to ", out);
  const int64_t fan_in = in / groups * kh * kw;
  register_parameter("weight", uniform({out, in / groups, kh, kw}, fan_in));
  if (with_bias) register_parameter("bias", uniform({out}, fan_in));
}

void Conv2d::on_register(const std::string& name, const Tensor& value) {
  if (name == "weight") take_tensor(name, value, weight);
  if (name == "bias") take_tensor(name, value, bias);
}

Tensor Conv2d::forward(const Tensor& x) {
  return conv2d(x, weight, bias, options_);
}

Embedding::Embedding(int64_t count, int64_t size, std::optional<int64_t> padding_index)
    : padding_index_(padding_index) {
  check<ArgumentError>(count > 0 && size > 0, "Embedding", "count and size must be positive, got ",
                       count, " and ", size);
  register_parameter("weight", randn({count, size}));
  if (!padding_index_) return;
  check<RangeError>(-count <= *padding_index_ && *padding_index_ < count, "Embedding",
                    "padding_index must be in [", -count, ", ", count, "), got ", *padding_index_);
  if (*padding_index_ < 0) *padding_index_ += count;
  weight.detach()[*padding_index_].fill_(0);
}

void Embedding::on_register(const std::string& name, const Tensor& value) {
  if (name == "weight") take_tensor(name, value, weight);
}

Tensor Embedding::forward(const Tensor& index) {
  return embedding(weight, index, padding_index_);
}

Dropout::Dropout(double p) : p_(p) {
  check<ArgumentError>(p >= 0 && p < 1, "Dropout", "p must be in [0, 1), got ", p);
}

Tensor Activate::forward(const Tensor& x) {
  return activation_ == Activation::none ? x : apply(static_cast<Unary>(activation_), x);
}

Sequential::Sequential(std::vector<std::shared_ptr<Module>> modules) {
  for (std::shared_ptr<Module>& module : modules) append(std::move(module));
}

void Sequential::append(std::shared_ptr<Module> module) {
  register_module(std::to_string(list_.size()), std::move(module));
}

void Sequential::on_register(const std::string& name, const std::shared_ptr<Module>& module) {
  take_element(name, module, list_, "Module");
}

Tensor Sequential::forward(const Tensor& x) {
  Tensor z = x;
  for (const std::shared_ptr<Module>& module : list_) z = module->forward(z);
  return z;
}

}  // namespace normlab::nn
