#include "nn/parts.h"
#include "ops/segments.h"

namespace normlab::nn {
namespace {

/// The offsets of x taken as one sentence.
Tensor offsets_of(const char* op, const Tensor& x) {
  check(x.rank() == 2, op, "x must be [T, D], got ", x.shape());
  return one_sentence(x);
}

std::shared_ptr<Norm> make_norm(const TransformerOptions& options) {
  return std::make_shared<Norm>(options.norm, Shape{options.size});
}

}  // namespace

// --- attention --------------------------------------------------------------------------------

SelfAttention::SelfAttention(int64_t size, int64_t heads) : heads_(heads) {
  check<ArgumentError>(size > 0 && heads > 0 && size % heads == 0, "SelfAttention",
                       "size must be a positive multiple of heads, got size ", size, " and ", heads,
                       " heads");
  register_module("qkv", std::make_shared<Linear>(size, 3 * size));
  register_module("out", std::make_shared<Linear>(size, size));
}

void SelfAttention::on_register(const std::string& name, const std::shared_ptr<Module>& module) {
  if (name == "qkv") take_module(name, module, qkv_, "Linear");
  if (name == "out") take_module(name, module, out_, "Linear");
}

Tensor SelfAttention::forward(const Tensor& x) {
  return forward(x, offsets_of("SelfAttention", x));
}

Tensor SelfAttention::forward(const Tensor& x, const Tensor& offsets) {
  return out_->forward(attention(qkv_->forward(x), offsets, heads_));
}

// --- layer ------------------------------------------------------------------------------------

TransformerLayer::TransformerLayer(const TransformerOptions& options) : options_(options) {
  check<ArgumentError>(options.hidden > 0, "TransformerLayer", "hidden must be positive, got ",
                       options.hidden);
  check<ArgumentError>(options.dropout >= 0 && options.dropout < 1, "TransformerLayer",
                       "dropout must be in [0, 1), got ", options.dropout);
  const auto attention = std::make_shared<SelfAttention>(options.size, options.heads);
  const auto up = std::make_shared<Linear>(options.size, options.hidden, true, options.activation);
  const auto down = std::make_shared<Linear>(options.hidden, options.size);
  register_module("norm1", make_norm(options));
  register_module("attention", attention);
  register_module("norm2", make_norm(options));
  register_module("up", up);
  register_module("down", down);
}

void TransformerLayer::on_register(const std::string& name, const std::shared_ptr<Module>& module) {
  if (name == "norm1") take_module(name, module, norm1_, "Norm");
  if (name == "norm2") take_module(name, module, norm2_, "Norm");
  if (name == "attention") take_module(name, module, attention_, "SelfAttention");
  if (name == "up") take_module(name, module, up_, "Linear");
  if (name == "down") take_module(name, module, down_, "Linear");
}

Tensor TransformerLayer::attend(const Tensor& x, const Tensor& offsets) {
  return dropout(attention_->forward(x, offsets), options_.dropout, training());
}

Tensor TransformerLayer::feed_forward(const Tensor& x) {
  return dropout(down_->forward(up_->forward(x)), options_.dropout, training());
}

Tensor TransformerLayer::forward(const Tensor& x) {
  return forward(x, offsets_of("TransformerLayer", x));
}

Tensor TransformerLayer::forward(const Tensor& x, const Tensor& offsets) {
  if (options_.pre_norm) {
    const Tensor y = x + attend(norm1_->forward(x), offsets);
    return y + feed_forward(norm2_->forward(y));
  }
  const Tensor y = norm1_->forward(x + attend(x, offsets));
  return norm2_->forward(y + feed_forward(y));
}

// --- encoder ----------------------------------------------------------------------------------

TransformerEncoder::TransformerEncoder(const TransformerOptions& options) : options_(options) {
  check<ArgumentError>(options.layers > 0, "TransformerEncoder", "layers must be positive, got ",
                       options.layers);
  for (int64_t i = 0; i < options.layers; ++i)
    register_module(std::to_string(i), std::make_shared<TransformerLayer>(options));
  if (options.pre_norm) register_module("norm", make_norm(options));
}

void TransformerEncoder::on_register(const std::string& name,
                                     const std::shared_ptr<Module>& module) {
  if (name == "norm")
    take_module(name, module, norm_, "Norm");
  else
    take_element(name, module, layers_, "TransformerLayer");
}

Tensor TransformerEncoder::forward(const Tensor& x) {
  return forward(x, offsets_of("TransformerEncoder", x));
}

Tensor TransformerEncoder::forward(const Tensor& x, const Tensor& offsets) {
  Tensor z = dropout(x, options_.dropout, training());
  for (const std::shared_ptr<TransformerLayer>& layer : layers_) z = layer->forward(z, offsets);
  return norm_ ? norm_->forward(z) : z;
}

}  // namespace normlab::nn
