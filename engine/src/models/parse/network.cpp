#include <cmath>

#include "nn/parts.h"
#include "normlab/parse.h"

namespace normlab::parse {

HiddenActivation hidden_activation_named(const std::string& name) {
  if (name == "cube") return HiddenActivation::cube;
  check<ArgumentError>(name == "relu", "activation", "must be 'cube' or 'relu', got '", name, "'");
  return HiddenActivation::relu;
}

const char* name_of(HiddenActivation activation) {
  return activation == HiddenActivation::cube ? "cube" : "relu";
}

Network::Network(const NetworkOptions& options) : options_(options) {
  const NetworkOptions& o = options_;
  check<ArgumentError>(
      o.rows > 0 && o.classes > 0 && o.features > 0 && o.embedding > 0 && o.hidden > 0, "Network",
      "rows, classes, features, embedding and hidden must be positive, got ", o.rows, ", ",
      o.classes, ", ", o.features, ", ", o.embedding, " and ", o.hidden);
  check<ArgumentError>(o.dropout >= 0 && o.dropout < 1, "Network",
                       "dropout must be in [0, 1), got ", o.dropout);
  const double bound = 1 / std::sqrt(static_cast<double>(o.features * o.embedding));
  register_parameter("table", rand({o.rows, o.embedding}, -0.01, 0.01));
  register_parameter("weight", rand({o.features, o.embedding, o.hidden}, -bound, bound));
  register_parameter("bias", rand({o.hidden}, -bound, bound));
  const auto norm = std::make_shared<nn::Norm>(o.norm, Shape{o.hidden});
  const auto output = std::make_shared<nn::Linear>(o.hidden, o.classes);
  if (o.input_norm)
    register_module("input_norm",
                    std::make_shared<nn::Norm>(o.norm, Shape{o.features * o.embedding}));
  register_module("norm", norm);
  register_module("output", output);
}

void Network::on_register(const std::string& name, const Tensor& value) {
  if (name == "table") nn::take_tensor(name, value, table_);
  if (name == "weight") nn::take_tensor(name, value, weight_);
  if (name == "bias") nn::take_tensor(name, value, bias_);
}

void Network::on_register(const std::string& name, const std::shared_ptr<nn::Module>& module) {
  if (name == "input_norm") nn::take_module(name, module, input_norm_, "Norm");
  if (name == "norm") nn::take_module(name, module, norm_, "Norm");
  if (name == "output") nn::take_module(name, module, output_, "Linear");
}

Tensor Network::hidden(const Tensor& features) const {
  if (!input_norm_) return feature_linear(table_, features, weight_, bias_);
  const int64_t inner = options_.features * options_.embedding;
  const Tensor rows = take(table_, features).reshape({features.size(0), inner});
  return matmul(input_norm_->forward(rows), weight_.reshape({inner, options_.hidden})) + bias_;
}

Tensor Network::forward(const Tensor& features) {
  check(features.rank() == 2 && features.size(1) == options_.features, "Network",
        "features must be [N, ", options_.features, "], got ", features.shape());
  const Tensor h = norm_->forward(hidden(features));
  const Tensor active = options_.activation == HiddenActivation::cube ? pow(h, 3) : relu(h);
  return output_->forward(dropout(active, options_.dropout, training()));
}

Tensor transition_loss(const Tensor& logits, const Tensor& masks, const Tensor& classes,
                       const Tensor& moves) {
  const Tensor illegal = logical_not(normlab::take(masks, moves.to(DType::int64)));
  return cross_entropy(masked_fill(logits, illegal, -1e9), classes);
}

}  // namespace normlab::parse
