#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "normlab/nn.h"
#include "normlab/parse/examples.h"

namespace normlab::parse {

/// The activation function of the hidden layer.
enum class HiddenActivation : uint8_t { cube, relu };
/// Parses "cube" or "relu"; ArgumentError otherwise.
HiddenActivation hidden_activation_named(const std::string& name);
const char* name_of(HiddenActivation activation);

struct NetworkOptions {
  int64_t rows = 0;              ///< of the table: size() of the vocabulary
  int64_t classes = 0;           ///< Transitions::classes(), or tags
  int64_t features = kFeatures;  ///< of an example
  int64_t embedding = 50;
  int64_t hidden = 512;
  HiddenActivation activation = HiddenActivation::relu;
  double dropout = 0.5;     ///< of the hidden layer
  bool input_norm = false;  ///< the norm on the embeddings of an example as well
  NormSpec norm = {};
};

/// The feed-forward network of Chen and Manning (2014): 48 embeddings -> hidden -> norm ->
/// activation -> dropout -> one logit a transition. The hidden layer multiplies each distinct
/// feature of a batch once, see feature_linear(), but not behind a norm of the embeddings.
/// Embeddings begin uniform in +-0.01. The tagger is another one, with other features.
class Network : public nn::Module {
 public:
  explicit Network(const NetworkOptions& options);
  /// features int32 [N, features] -> logits [N, classes]. RangeError for a row that is not there.
  Tensor forward(const Tensor& features) override;
  const NetworkOptions& options() const { return options_; }

 private:
  friend class FrozenNetwork;
  void on_register(const std::string& name, const Tensor& value) override;
  void on_register(const std::string& name, const std::shared_ptr<nn::Module>& module) override;
  Tensor hidden(const Tensor& features) const;

  NetworkOptions options_;
  Tensor table_, weight_, bias_;
  std::shared_ptr<nn::Norm> input_norm_, norm_;
  std::shared_ptr<nn::Linear> output_;
};

/// Mean cross entropy of softmax over the legal transitions.
/// @param logits   [N, classes].
/// @param masks    bool [kMoveKinds, classes]: Transitions::masks().
/// @param classes  int64 [N], as Examples has them.
/// @param moves    uint8 [N], as Examples has them.
Tensor transition_loss(const Tensor& logits, const Tensor& masks, const Tensor& classes,
                       const Tensor& moves);

}  // namespace normlab::parse
