#include <algorithm>
#include <cmath>

#include "models/text/positions.h"
#include "nn/parts.h"
#include "normlab/translate.h"
#include "ops/segments.h"

namespace normlab::translate {
namespace {

using text::Packed;

void check_options(const TranslatorOptions& o) {
  constexpr const char* op = "Translator";
  check<ArgumentError>(o.source_vocabulary > 3 && o.target_vocabulary > 3, op,
                       "vocabularies must have more than the first 3 subwords, got ",
                       o.source_vocabulary, " and ", o.target_vocabulary);
  check<ArgumentError>(!o.share_embeddings || o.source_vocabulary == o.target_vocabulary, op,
                       "share_embeddings needs one vocabulary for both languages, got ",
                       o.source_vocabulary, " and ", o.target_vocabulary, " subwords");
  check<ArgumentError>(o.positions > 1, op, "positions must be at least 2, got ", o.positions);
}

/// normal(0, 1 / D), so that the vectors times sqrt(D) stand beside sines of amplitude 1.
std::shared_ptr<nn::Embedding> table_of(int64_t vocabulary, int64_t size) {
  auto table = std::make_shared<nn::Embedding>(vocabulary, size);
  Tensor words = table->weight.detach();
  words.copy_(words / std::sqrt(static_cast<double>(size)));
  return table;
}

void check_packed(const char* what, const Packed& sentences) {
  check<ArgumentError>(sentences.tokens && sentences.offsets, "Translator", what,
                       " must have tokens and offsets");
  check(sentences.tokens.rank() == 1, "Translator", what, "'s tokens must be [T], got ",
        sentences.tokens.shape());
  check_offsets("Translator", sentences.offsets, sentences.tokens);
}

/// Where the first token of each sentence stands: 0, or behind those that the cache has.
std::vector<int64_t> begins_of(const Packed& sentences, const std::vector<int64_t>& lengths) {
  const auto count = static_cast<size_t>(sentences.size());
  check<ArgumentError>(lengths.empty() || lengths.size() == count, "Translator", "the cache has ",
                       lengths.size(), " sentences, got tokens of ", count);
  return lengths.empty() ? std::vector<int64_t>(count, 0) : lengths;
}

/// The place of every token in its sentence, int64 [T].
Tensor places(const Packed& sentences, const std::vector<int64_t>& begins, int64_t positions) {
  Tensor place = Tensor::empty({sentences.tokens.numel()}, DType::int64);
  int64_t* to = place.data<int64_t>();
  const Tensor offsets = sentences.offsets.to(Device::cpu);
  const int64_t* offset = offsets.data<int64_t>();
  for (int64_t s = 0; s < sentences.size(); ++s) {
    const int64_t begin = begins[static_cast<size_t>(s)], n = offset[s + 1] - offset[s];
    check<ArgumentError>(begin + n <= positions, "Translator", "sentence ", s, " has ", begin + n,
                         " subwords, the network has ", positions, " positions");
    for (int64_t i = 0; i < n; ++i) to[offset[s] + i] = begin + i;
  }
  return place;
}

}  // namespace

Translator::Translator(const TranslatorOptions& options) : options_(options) {
  check_options(options);
  nn::TransformerOptions decoder = options.network;
  decoder.layers = options.decoder_layers;
  const int64_t size = options.network.size;
  // The encoder comes first: it checks the sizes.
  register_module("encoder", std::make_shared<nn::TransformerEncoder>(options.network));
  register_module("decoder", std::make_shared<nn::TransformerDecoder>(decoder));
  if (!options.share_embeddings)
    register_module("source", table_of(options.source_vocabulary, size));
  register_module("target", table_of(options.target_vocabulary, size));
  if (!options.share_output)
    register_module("output", std::make_shared<nn::Linear>(size, options.target_vocabulary, false));
  sines_ = text::sine_positions(options.positions, size, 1.0);
}

void Translator::on_register(const std::string& name, const std::shared_ptr<nn::Module>& module) {
  if (name == "source") nn::take_module(name, module, source_, "Embedding");
  if (name == "target") nn::take_module(name, module, target_, "Embedding");
  if (name == "encoder") nn::take_module(name, module, encoder_, "TransformerEncoder");
  if (name == "decoder") nn::take_module(name, module, decoder_, "TransformerDecoder");
  if (name == "output") nn::take_module(name, module, output_, "Linear");
}

Tensor Translator::embedded(const Packed& sentences, nn::Embedding& table,
                            const std::vector<int64_t>& begins) const {
  const Tensor place = places(sentences, begins, options_.positions);
  const Tensor words = table.forward(sentences.tokens);
  const Tensor sines = normlab::take(sines_, place).to(words.device()).to(words.dtype());
  return words * std::sqrt(static_cast<double>(options_.network.size)) + sines;
}

Tensor Translator::logits(const Tensor& decoded) {
  return options_.share_output ? linear(decoded, target_->weight) : output_->forward(decoded);
}

Tensor Translator::encode(const Packed& source) {
  check_packed("source", source);
  nn::Embedding& table = options_.share_embeddings ? *target_ : *source_;
  return encoder_->forward(embedded(source, table, begins_of(source, {})), source.offsets);
}

Tensor Translator::forward(const Packed& source, const Packed& target) {
  check_packed("target", target);
  check<ArgumentError>(source.size() == target.size(), "Translator",
                       "source and target must have as many sentences, got ", source.size(),
                       " and ", target.size());
  const Tensor memory = encode(source);
  const Tensor x = embedded(target, *target_, begins_of(target, {}));
  return logits(decoder_->forward(x, memory, target.offsets, source.offsets));
}

Tensor Translator::forward(const Tensor&) {
  fail<ArgumentError>("Translator", "forward takes packed sentences of two languages");
}

Tensor Translator::decode(const Packed& next, const Tensor& memory, const Tensor& memory_offsets,
                          nn::KeyValueCache& cache) {
  check_packed("next", next);
  const Tensor x = embedded(next, *target_, begins_of(next, cache.lengths()));
  return logits(decoder_->forward(x, memory, next.offsets, memory_offsets, cache));
}

}  // namespace normlab::translate
