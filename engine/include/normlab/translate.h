#pragma once

#include <memory>
#include <string>
#include <vector>

#include "normlab/nn.h"
#include "normlab/subwords.h"
#include "normlab/text.h"

namespace normlab::translate {

struct TranslatorOptions {
  int64_t source_vocabulary = 0;  ///< subwords with the first three
  int64_t target_vocabulary = 0;
  int64_t positions = 1024;             ///< the longest sentence, in subwords with its end
  int64_t decoder_layers = 4;           ///< the encoder's are network.layers
  bool share_embeddings = true;         ///< one table for both languages, which have one vocabulary
  bool share_output = true;             ///< the projection onto subwords is the target's table
  nn::TransformerOptions network = {};  ///< of encoder and decoder
};

/// Subwords + positions -> encoder; subwords so far + positions -> decoder -> linear (Vaswani et
/// al. 2017). Tables begin as normal(0, 1 / D) and are multiplied by sqrt(D); positions are sines.
/// Shared tables are one parameter.
class Translator : public nn::Module {
 public:
  explicit Translator(const TranslatorOptions& options);
  /// Logits [T, target_vocabulary] of the subword after each of `target`, which begins with kBegin.
  /// ArgumentError for a sentence of more than `positions` subwords, or not as many sentences.
  Tensor forward(const text::Packed& source, const text::Packed& target);
  /// ArgumentError: it takes two languages.
  Tensor forward(const Tensor& x) override;
  /// The encoder's result [M, D] for sentences that end with kEnd.
  Tensor encode(const text::Packed& source);
  /// Logits of the subwords that follow `next`, the new ones of each sentence. In the first call
  /// with a cache, memory is of encode() with its offsets.
  Tensor decode(const text::Packed& next, const Tensor& memory, const Tensor& memory_offsets,
                nn::KeyValueCache& cache);
  const TranslatorOptions& options() const { return options_; }

 private:
  using nn::Module::on_register;
  void on_register(const std::string& name, const std::shared_ptr<nn::Module>& module) override;
  Tensor embedded(const text::Packed& sentences, nn::Embedding& table,
                  const std::vector<int64_t>& begins) const;
  Tensor logits(const Tensor& decoded);
  TranslatorOptions options_;
  Tensor sines_;
  std::shared_ptr<nn::Embedding> source_, target_;
  std::shared_ptr<nn::TransformerEncoder> encoder_;
  std::shared_ptr<nn::TransformerDecoder> decoder_;
  std::shared_ptr<nn::Linear> output_;  // none with share_output
};

// --- search -----------------------------------------------------------------------------------

/// What the sum of a sentence's log probabilities is divided by, for n subwords with the end.
enum class LengthPenalty {
  power,  ///< n^alpha (fairseq)
  gnmt,   ///< ((5 + n) / 6)^alpha (Wu et al. 2016)
};
/// "power", "gnmt".
const char* name_of(LengthPenalty penalty);
/// ArgumentError for another name.
LengthPenalty length_penalty_named(const std::string& name);

struct SearchOptions {
  int64_t beam = 5;  ///< 1 to 1000; 1: the most probable subword each time (greedy)
  double alpha = 1.0;
  LengthPenalty penalty = LengthPenalty::power;
  int64_t sentences = 63;  ///< at most so many at a time; no result depends on it
};

/// A translation.
struct Hypothesis {
  std::vector<int64_t> tokens;  ///< without marks
  double score = 0.0;           ///< log probability over the length penalty
};

/// The best translation of each sentence, subwords without marks: beam search over all sentences
/// together, which leave when `beam` translations of theirs have ended. A step keeps the `beam`
/// best beginnings; those that end among them are done. A translation is at most twice as long as
/// its source and 50 subwords more, and has no unknown ones. Equal scores: the beginning that was
/// better, then the lower number. On the CPU a sentence's result does not depend on the others, to
/// the last bit.
/// @throws ArgumentError  beam out of range, sentences below 1, alpha not finite, a sentence that
///                        is too long, with its number.
std::vector<Hypothesis> search(Translator& translator,
                               const std::vector<std::vector<int64_t>>& sources,
                               const SearchOptions& options = {});

// --- model ------------------------------------------------------------------------------------

/// A trained translator with all that it takes to translate a line: what a model file holds.
struct Model {
  std::shared_ptr<Translator> translator;
  Subwords source, target;
  std::string source_language, target_language;  ///< such as "en"
  Metadata notes = {};                           ///< free text that goes along: task, scores, ...
  bool lower = false;  ///< it learned from lower_case() text alone, so lines are put in it first

  /// The translations of lines of text; an empty line's is empty. Dropout is off. Threads may share
  /// a model in evaluation mode. ArgumentError naming a line that is too long.
  std::vector<std::string> translate(const std::vector<std::string>& lines,
                                     const SearchOptions& options = {}) const;
};

/// One safetensors file: parameters as tensors; subwords, languages, settings and notes as
/// metadata. ArgumentError if their numbers do not fit together.
void save_model(const std::string& path, const Model& model);
/// @throws FileError  not a safetensors file, a model of another task, a setting, tensor or piece
///                  that is missing or not as it must be: the path, what, and what was expected.
Model load_model(const std::string& path);

}  // namespace normlab::translate
