#include <algorithm>
#include <cmath>

#include "nn/parts.h"
#include "normlab/autograd.h"
#include "normlab/language.h"
#include "ops/segments.h"

namespace normlab::language {
namespace {

/// A table that begins as normal(0, 1 / D).
std::shared_ptr<nn::Embedding> make_table(int64_t count, int64_t size) {
  auto table = std::make_shared<nn::Embedding>(count, size);
  Tensor weight = table->weight.detach();
  weight.copy_(weight / std::sqrt(static_cast<double>(size)));
  return table;
}

/// The place of every character in its sequence, of which the first before[s] came earlier.
Tensor places(const text::Packed& sequences, const std::vector<int64_t>& before, int64_t context) {
  const Tensor offsets = sequences.offsets.to(Device::cpu);
  const int64_t* offset = offsets.data<int64_t>();
  Tensor place = Tensor::empty({sequences.tokens.numel()}, DType::int64);
  int64_t* to = place.data<int64_t>();
  for (int64_t s = 0; s < sequences.size(); ++s) {
    const int64_t first = before.empty() ? 0 : before[static_cast<size_t>(s)];
    const int64_t length = first + offset[s + 1] - offset[s];
    check<ArgumentError>(length <= context, "LanguageModel", "a sequence must have at most ",
                         context, " characters, the context; sequence ", s, " has ", length);
    for (int64_t i = offset[s]; i < offset[s + 1]; ++i) to[i] = first + i - offset[s];
  }
  return place;
}

}  // namespace

LanguageModel::LanguageModel(const LanguageModelOptions& options) : options_(options) {
  check<ArgumentError>(options.vocabulary > 0 && options.context > 0, "LanguageModel",
                       "vocabulary and context must be positive, got ", options.vocabulary, " and ",
                       options.context);
  options_.encoder.causal = true;
  const int64_t size = options.encoder.size;
  check<ArgumentError>(size > 0, "LanguageModel", "size must be positive, got ", size);
  register_module("embedding", make_table(options.vocabulary, size));
  register_module("positions", make_table(options.context, size));
  register_module("encoder", std::make_shared<nn::TransformerEncoder>(options_.encoder));
  if (!options.tied)
    register_module("output", std::make_shared<nn::Linear>(size, options.vocabulary));
}

void LanguageModel::on_register(const std::string& name,
                                const std::shared_ptr<nn::Module>& module) {
  if (name == "embedding") nn::take_module(name, module, embedding_, "Embedding");
  if (name == "positions") nn::take_module(name, module, positions_, "Embedding");
  if (name == "encoder") nn::take_module(name, module, encoder_, "TransformerEncoder");
  if (name == "output") nn::take_module(name, module, output_, "Linear");
}

Tensor LanguageModel::embed(const text::Packed& sequences, const std::vector<int64_t>& before) {
  check<ArgumentError>(sequences.tokens && sequences.offsets, "LanguageModel",
                       "tokens and offsets must be given");
  check(sequences.tokens.rank() == 1, "LanguageModel", "characters must be [T], got ",
        sequences.tokens.shape());
  check_offsets("LanguageModel", sequences.offsets, sequences.tokens);
  check<ArgumentError>(before.empty() || static_cast<int64_t>(before.size()) == sequences.size(),
                       "LanguageModel", "the cache has ", before.size(), " sequences, got ",
                       sequences.size());
  const Tensor place = places(sequences, before, options_.context);
  return embedding_->forward(sequences.tokens) +
         positions_->forward(place.to(sequences.tokens.device()));
}

Tensor LanguageModel::output(const Tensor& encoded) {
  return options_.tied ? linear(encoded, embedding_->weight) : output_->forward(encoded);
}

Tensor LanguageModel::forward(const text::Packed& sequences) {
  return output(encoder_->forward(embed(sequences, {}), sequences.offsets));
}

Tensor LanguageModel::forward(const Tensor& characters) {
  check(characters.rank() == 1, "LanguageModel", "characters must be [T], got ",
        characters.shape());
  return forward(text::Packed{characters, one_sentence(characters)});
}

Tensor LanguageModel::forward(const text::Packed& next, nn::KeyValueCache& cache) {
  return output(encoder_->forward(embed(next, cache.lengths()), next.offsets, cache));
}

}  // namespace normlab::language
