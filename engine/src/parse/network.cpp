#include <cmath>

#include "normlab/parse.h"

namespace normlab::parse {

HiddenActivation hidden_activation_named(const std::string& name) {
  if (name == "cube") return HiddenActivation::cube;
  check<ValueError>(name == "relu", "activation", "must be 'cube' or 'relu', got '", name, "'");
  return HiddenActivation::relu;
}

const char* name_of(HiddenActivation activation) {
  return activation == HiddenActivation::cube ? "cube" : "relu";
}

Network::Network(const NetworkOptions& options) : options_(options) {
  const NetworkOptions& o = options_;
  check<ValueError>(o.rows > 0 && o.classes > 0 && o.embedding > 0 && o.hidden > 0, "Network",
                    "rows, classes, embedding and hidden must be positive, got ", o.rows, ", ",
                    o.classes, ", ", o.embedding, " and ", o.hidden);
  check<ValueError>(o.dropout >= 0 && o.dropout < 1, "Network", "dropout must be in [0, 1), got ",
                    o.dropout);
  const double bound = 1 / std::sqrt(static_cast<double>(kFeatures * o.embedding));
  table_ = register_parameter("table", rand({o.rows, o.embedding}, -0.01, 0.01));
  weight_ = register_parameter("weight", rand({kFeatures, o.embedding, o.hidden}, -bound, bound));
  bias_ = register_parameter("bias", rand({o.hidden}, -bound, bound));
  norm_ = std::make_shared<nn::Norm>(o.norm, Shape{o.hidden}, o.norm_options);
  output_ = std::make_shared<nn::Linear>(o.hidden, o.classes);
  register_module("norm", norm_);
  register_module("output", output_);
}

Tensor Network::forward(const Tensor& features) {
  check(features.rank() == 2 && features.size(1) == kFeatures, "Network", "features must be [N, ",
        kFeatures, "], got ", features.shape());
  const Tensor h = norm_->forward(feature_linear(table_, features, weight_, bias_));
  const Tensor active = options_.activation == HiddenActivation::cube ? pow(h, 3) : relu(h);
  return output_->forward(dropout(active, options_.dropout, training()));
}

Tensor transition_loss(const Tensor& logits, const Tensor& masks, const Tensor& classes,
                       const Tensor& moves) {
  const Tensor illegal = logical_not(normlab::take(masks, moves.to(DType::int64)));
  return cross_entropy(masked_fill(logits, illegal, -1e9), classes);
}

}  // namespace normlab::parse
