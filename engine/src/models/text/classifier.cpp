#include "normlab/text.h"

#include <algorithm>
#include <cmath>

#include "models/text/positions.h"
#include "nn/parts.h"
#include "ops/segments.h"

namespace normlab::text {
namespace {

/// The place of every word in its sentence, [T, D].
Tensor positions(const Packed& sentences, int64_t size, double scale) {
  if (sentences.tokens.device() == Device::cuda)
    return positions_on_gpu(sentences.offsets, sentences.tokens.numel(), size, scale);
  Tensor place = Tensor::empty({sentences.tokens.numel()}, DType::int64);
  int64_t* to = place.data<int64_t>();
  const int64_t* offset = sentences.offsets.data<int64_t>();
  int64_t longest = 0;
  for (int64_t s = 0; s < sentences.size(); ++s) {
    longest = std::max(longest, offset[s + 1] - offset[s]);
    for (int64_t i = offset[s]; i < offset[s + 1]; ++i) to[i] = i - offset[s];
  }
  return normlab::take(sine_positions(longest, size, scale), place);
}

}  // namespace

Classifier::Classifier(const ClassifierOptions& options) : options_(options) {
  check<ArgumentError>(options.vocabulary > 0 && options.classes > 0, "Classifier",
                       "vocabulary and classes must be positive, got ", options.vocabulary, " and ",
                       options.classes);
  check<ArgumentError>(std::isfinite(options.position_scale), "Classifier",
                       "position_scale must be finite, got ", options.position_scale);
  check<DtypeError>(options.dtype == DType::float32 || options.dtype == DType::bfloat16,
                    "Classifier", "dtype must be float32 or bfloat16, got ", options.dtype);
  check<ArgumentError>(!options.encoder.causal, "Classifier",
                       "the encoder must not be causal: a model file does not say so");
  register_module("embedding",
                  std::make_shared<nn::Embedding>(options.vocabulary, options.encoder.size));
  Tensor words = embedding_->weight.detach();
  words.copy_(words / std::sqrt(static_cast<double>(options.encoder.size)));
  register_module("encoder", std::make_shared<nn::TransformerEncoder>(options.encoder));
  register_module("output", std::make_shared<nn::Linear>(options.encoder.size, options.classes));
}

void Classifier::on_register(const std::string& name, const std::shared_ptr<nn::Module>& module) {
  if (name == "embedding") nn::take_module(name, module, embedding_, "Embedding");
  if (name == "encoder") nn::take_module(name, module, encoder_, "TransformerEncoder");
  if (name == "output") nn::take_module(name, module, output_, "Linear");
}

Tensor Classifier::forward(const Packed& sentences) {
  check<ArgumentError>(sentences.tokens && sentences.offsets, "Classifier",
                       "tokens and offsets must be given");
  check(sentences.tokens.rank() == 1, "Classifier", "tokens must be [T], got ",
        sentences.tokens.shape());
  check_offsets("Classifier", sentences.offsets, sentences.tokens);
  const Tensor words = embedding_->forward(sentences.tokens);
  const Tensor place = positions(sentences, options_.encoder.size, options_.position_scale);
  const Tensor x = words + place.to(words.dtype());
  const Tensor stored = options_.dtype == DType::bfloat16 ? x.to(DType::bfloat16) : x;
  const Tensor encoded = encoder_->forward(stored, sentences.offsets);
  return output_->forward(segment_mean(encoded, sentences.offsets).to(x.dtype()));
}

Tensor Classifier::forward(const Tensor& tokens) {
  check(tokens.rank() == 1, "Classifier", "tokens must be [T], got ", tokens.shape());
  return forward(Packed{tokens, one_sentence(tokens)})[0];
}

}  // namespace normlab::text
