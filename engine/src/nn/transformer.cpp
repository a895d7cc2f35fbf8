#include "nn/key_value_cache.h"
#include "nn/parts.h"

namespace normlab::nn {
namespace {

std::shared_ptr<Norm> make_norm(const TransformerOptions& options) {
  return std::make_shared<Norm>(options.norm, Shape{options.size});
}

TransformerOptions checked(const char* op, TransformerOptions options) {
  check<ArgumentError>(options.hidden > 0, op, "hidden must be positive, got ", options.hidden);
  check<ArgumentError>(options.dropout >= 0 && options.dropout < 1, op,
                       "dropout must be in [0, 1), got ", options.dropout);
  return options;
}

TransformerOptions always_causal(TransformerOptions options) {
  options.causal = true;
  return options;
}

void register_feed_forward(Module& layer, const TransformerOptions& o) {
  layer.register_module("up", std::make_shared<Linear>(o.size, o.hidden, true, o.activation));
  layer.register_module("down", std::make_shared<Linear>(o.hidden, o.size));
}

/// One part of a layer: x + f(norm(x)) with pre_norm, else norm(x + f(x)); dropout behind f.
class Residual {
 public:
  Residual(const TransformerOptions& options, bool training)
      : options_(options), training_(training) {}
  template <class F>
  Tensor operator()(Norm& norm, const Tensor& x, const F& f) const {
    const auto branch = [&](const Tensor& y) { return dropout(f(y), options_.dropout, training_); };
    if (options_.pre_norm) return x + branch(norm.forward(x));
    return norm.forward(x + branch(x));
  }

 private:
  const TransformerOptions& options_;
  bool training_;
};

/// The layers one after the other between the dropout of the input and the norm at the end.
template <class Layers, class Run>
Tensor run_layers(const Tensor& x, double dropout_p, bool training, const Layers& layers,
                  const std::shared_ptr<Norm>& norm, const Run& run) {
  Tensor z = dropout(x, dropout_p, training);
  for (size_t i = 0; i < layers.size(); ++i) z = run(*layers[i], z, i);
  return norm ? norm->forward(z) : z;
}

}  // namespace

// --- layer ------------------------------------------------------------------------------------

TransformerLayer::TransformerLayer(const TransformerOptions& options)
    : options_(checked("TransformerLayer", options)) {
  const auto attention =
      std::make_shared<SelfAttention>(options.size, options.heads, options.causal);
  register_module("norm1", make_norm(options));
  register_module("attention", attention);
  register_module("norm2", make_norm(options));
  register_feed_forward(*this, options);
}

void TransformerLayer::on_register(const std::string& name, const std::shared_ptr<Module>& module) {
  if (name == "norm1") take_module(name, module, norm1_, "Norm");
  if (name == "norm2") take_module(name, module, norm2_, "Norm");
  if (name == "attention") take_module(name, module, attention_, "SelfAttention");
  if (name == "up") take_module(name, module, up_, "Linear");
  if (name == "down") take_module(name, module, down_, "Linear");
}

template <class Attend>
Tensor TransformerLayer::run(const Tensor& x, const Attend& attend) {
  const Residual add(options_, training());
  const Tensor y = add(*norm1_, x, attend);
  return add(*norm2_, y, [&](const Tensor& t) { return down_->forward(up_->forward(t)); });
}

Tensor TransformerLayer::forward(const Tensor& x) {
  return forward(x, offsets_of("TransformerLayer", x));
}

Tensor TransformerLayer::forward(const Tensor& x, const Tensor& offsets) {
  return run(x, [&](const Tensor& t) { return attention_->forward(t, offsets); });
}

Tensor TransformerLayer::forward(const Tensor& x, const Tensor& offsets, CachedLayer& cache) {
  return run(x, [&](const Tensor& t) { return attention_->forward(t, offsets, cache); });
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
  return run_layers(
      x, options_.dropout, training(), layers_, norm_,
      [&](TransformerLayer& layer, const Tensor& z, size_t) { return layer.forward(z, offsets); });
}

Tensor TransformerEncoder::forward(const Tensor& x, const Tensor& offsets, KeyValueCache& cache) {
  CachedCall call("TransformerEncoder", cache, options_, x, offsets);
  const Tensor z = run_layers(x, options_.dropout, training(), layers_, norm_,
                              [&](TransformerLayer& layer, const Tensor& z, size_t i) {
                                return layer.forward(z, offsets, call.layer(i));
                              });
  call.succeed();
  return z;
}

// --- decoder layer ----------------------------------------------------------------------------

TransformerDecoderLayer::TransformerDecoderLayer(const TransformerOptions& options)
    : options_(always_causal(checked("TransformerDecoderLayer", options))) {
  register_module("norm1", make_norm(options));
  register_module("attention", std::make_shared<SelfAttention>(options.size, options.heads, true));
  register_module("norm2", make_norm(options));
  register_module("cross", std::make_shared<CrossAttention>(options.size, options.heads));
  register_module("norm3", make_norm(options));
  register_feed_forward(*this, options);
}

void TransformerDecoderLayer::on_register(const std::string& name,
                                          const std::shared_ptr<Module>& module) {
  if (name == "norm1") take_module(name, module, norm1_, "Norm");
  if (name == "norm2") take_module(name, module, norm2_, "Norm");
  if (name == "norm3") take_module(name, module, norm3_, "Norm");
  if (name == "attention") take_module(name, module, attention_, "SelfAttention");
  if (name == "cross") take_module(name, module, cross_, "CrossAttention");
  if (name == "up") take_module(name, module, up_, "Linear");
  if (name == "down") take_module(name, module, down_, "Linear");
}

template <class Attend, class Cross>
Tensor TransformerDecoderLayer::run(const Tensor& x, const Attend& attend, const Cross& cross) {
  const Residual add(options_, training());
  const Tensor y = add(*norm2_, add(*norm1_, x, attend), cross);
  return add(*norm3_, y, [&](const Tensor& t) { return down_->forward(up_->forward(t)); });
}

Tensor TransformerDecoderLayer::forward(const Tensor&) {
  needs_memory("TransformerDecoderLayer");
}

Tensor TransformerDecoderLayer::forward(const Tensor& x, const Tensor& memory,
                                        const Tensor& offsets, const Tensor& memory_offsets) {
  return run(
      x, [&](const Tensor& t) { return attention_->forward(t, offsets); },
      [&](const Tensor& t) { return cross_->forward(t, memory, offsets, memory_offsets); });
}

Tensor TransformerDecoderLayer::forward(const Tensor& x, const Tensor& memory,
                                        const Tensor& offsets, const Tensor& memory_offsets,
                                        CachedLayer& cache) {
  return run(
      x, [&](const Tensor& t) { return attention_->forward(t, offsets, cache); },
      [&](const Tensor& t) { return cross_->forward(t, memory, offsets, memory_offsets, cache); });
}

// --- decoder ----------------------------------------------------------------------------------

TransformerDecoder::TransformerDecoder(const TransformerOptions& options)
    : options_(always_causal(options)) {
  check<ArgumentError>(options.layers > 0, "TransformerDecoder", "layers must be positive, got ",
                       options.layers);
  for (int64_t i = 0; i < options.layers; ++i)
    register_module(std::to_string(i), std::make_shared<TransformerDecoderLayer>(options));
  if (options.pre_norm) register_module("norm", make_norm(options));
}

void TransformerDecoder::on_register(const std::string& name,
                                     const std::shared_ptr<Module>& module) {
  if (name == "norm")
    take_module(name, module, norm_, "Norm");
  else
    take_element(name, module, layers_, "TransformerDecoderLayer");
}

Tensor TransformerDecoder::forward(const Tensor&) {
  needs_memory("TransformerDecoder");
}

Tensor TransformerDecoder::forward(const Tensor& x, const Tensor& memory, const Tensor& offsets,
                                   const Tensor& memory_offsets) {
  return run_layers(x, options_.dropout, training(), layers_, norm_,
                    [&](TransformerDecoderLayer& layer, const Tensor& z, size_t) {
                      return layer.forward(z, memory, offsets, memory_offsets);
                    });
}

Tensor TransformerDecoder::forward(const Tensor& x, const Tensor& memory, const Tensor& offsets,
                                   const Tensor& memory_offsets, KeyValueCache& cache) {
  CachedCall call("TransformerDecoder", cache, options_, x, offsets);
  call.set_memory(memory, memory_offsets);
  const Tensor z =
      run_layers(x, options_.dropout, training(), layers_, norm_,
                 [&](TransformerDecoderLayer& layer, const Tensor& z, size_t i) {
                   return layer.forward(z, memory, offsets, memory_offsets, call.layer(i));
                 });
  call.succeed();
  return z;
}

}  // namespace normlab::nn
