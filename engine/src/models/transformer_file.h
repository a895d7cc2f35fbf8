#pragma once

// What files of models with a Transformer encoder share.

#include <string>

#include "models/model_file.h"
#include "normlab/nn.h"

namespace normlab {

/// Calls visit(name, member) for every setting beside the norm; Options may be constant.
template <class Options, class Visit>
void for_encoder_settings(Options& o, const Visit& visit) {
  visit("size", o.size);
  visit("heads", o.heads);
  visit("hidden", o.hidden);
  visit("layers", o.layers);
  visit("dropout", o.dropout);
  visit("pre_norm", o.pre_norm);
  visit("activation", o.activation);
}

/// All matrices of a layer, "encoder.0." say, must be there before a network is built: settings
/// alone could ask for any size. Another matrix must have bounded `size` before, so that nothing
/// overflows.
inline void check_layer(const TensorMap& tensors, const std::string& layer,
                        const nn::TransformerOptions& o) {
  check_matrix(tensors, layer + "attention.qkv.weight", {3 * o.size, o.size});
  check_matrix(tensors, layer + "attention.out.weight", {o.size, o.size});
  check_matrix(tensors, layer + "up.weight", {o.hidden, o.size});
  check_matrix(tensors, layer + "down.weight", {o.size, o.hidden});
}

/// check_layer() of every layer of the module "encoder".
inline void check_encoder(const TensorMap& tensors, const nn::TransformerOptions& o) {
  for (int64_t i = 0; i < o.layers; ++i)
    check_layer(tensors, "encoder." + std::to_string(i) + ".", o);
}

/// A new network in evaluation mode; this thread's random numbers go on as if there had been none.
template <class Network, class Options>
std::shared_ptr<Network> make_network(const Options& options) {
  const Generator before = default_generator();
  auto network = std::make_shared<Network>(options);
  default_generator() = before;
  network->eval();
  return network;
}

}  // namespace normlab
