#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "normlab/random.h"
#include "normlab/text.h"

/// Language models of characters: vocabulary, the causal Transformer, model files, generation.
namespace normlab::language {

// --- characters -------------------------------------------------------------------------------

/// Characters (code points) by number. Number 0 is every character that is not in it.
class Vocabulary {
 public:
  static constexpr int64_t kUnknown = 0;

  Vocabulary() : Vocabulary(std::string_view()) {}
  /// `characters`: UTF-8, in order of their numbers 1, 2, ... ArgumentError for text that is not
  /// UTF-8, a NUL character, or a character that comes twice.
  explicit Vocabulary(std::string_view characters);
  /// The characters of a text, in order of their code points. ArgumentError as above.
  static Vocabulary of(std::string_view text);

  /// Number of characters with the unknown one.
  int64_t size() const { return static_cast<int64_t>(characters_.size()); }
  /// Numbers of a text, int64 [T]; kUnknown for a character that is not there. ArgumentError for
  /// text that is not UTF-8 or has a NUL character, naming the byte.
  Tensor encode(std::string_view text) const;
  /// As UTF-8; U+FFFD for 0. RangeError outside.
  const std::string& character(int64_t number) const;
  /// All but the unknown one, in order.
  std::string characters() const;

 private:
  std::vector<std::string> characters_;
  std::unordered_map<uint32_t, int64_t> numbers_;
};

// --- network ----------------------------------------------------------------------------------

struct LanguageModelOptions {
  int64_t vocabulary = 0;  ///< characters with the unknown one
  int64_t context = 128;   ///< the most characters that a prediction rests on
  /// The output's weights are the embedding's (Press and Wolf 2017); it has no bias then.
  bool tied = false;
  nn::TransformerOptions encoder = {};  ///< causal, whatever is given
};

/// embedding + positions -> causal Transformer encoder -> linear: what follows each character.
/// Characters and places are learned vectors, which begin as normal(0, 1 / D).
class LanguageModel : public nn::Module {
 public:
  explicit LanguageModel(const LanguageModelOptions& options);
  /// Logits [T, vocabulary]: row t is for the character behind t, from those of its sequence up to
  /// t. RangeError for a number that is not in the vocabulary, ArgumentError for a sequence that is
  /// longer than the context.
  Tensor forward(const text::Packed& sequences);
  /// One sequence, numbers int64 [T].
  Tensor forward(const Tensor& characters) override;
  /// `next` are the characters that follow those of the cache, which gets them, too.
  Tensor forward(const text::Packed& next, nn::KeyValueCache& cache);
  const LanguageModelOptions& options() const { return options_; }

 private:
  using nn::Module::on_register;
  void on_register(const std::string& name, const std::shared_ptr<nn::Module>& module) override;
  Tensor embed(const text::Packed& sequences, const std::vector<int64_t>& before);
  Tensor output(const Tensor& encoded);
  LanguageModelOptions options_;
  std::shared_ptr<nn::Embedding> embedding_, positions_;
  std::shared_ptr<nn::TransformerEncoder> encoder_;
  std::shared_ptr<nn::Linear> output_;
};

// --- model ------------------------------------------------------------------------------------

/// A trained network with its characters: what a model file holds.
struct Model {
  std::shared_ptr<LanguageModel> network;
  Vocabulary vocabulary;
  Metadata notes = {};  ///< free text that goes along: task, scores, ...
};

/// One safetensors file: parameters as tensors; vocabulary, settings and notes as metadata.
/// ArgumentError if their numbers do not fit together.
void save_model(const std::string& path, const Model& model);
/// @throws FileError  not a safetensors file, a model of another task, a setting, tensor or
///                    character that is missing or not as it must be: the path, what, and what was
///                    expected.
Model load_model(const std::string& path);

// --- generation -------------------------------------------------------------------------------

/// How the next character is drawn.
struct Sampling {
  double temperature = 1.0;  ///< logits are divided by it; 0: always the likeliest character
  int64_t top_k = 0;         ///< among so many likeliest characters alone; 0: among all
  uint64_t seed = 0;
};

/// Continues a text character by character. The characters depend on model, prompt and sampling
/// alone: not on the number of threads. Unknown characters are never drawn.
///
/// A step costs one character, since keys and values are kept. Where the context is full, it slides
/// on: the newer half of it is read anew from its first place, the older half is forgotten.
class Writer {
 public:
  /// Only the last `context` characters of the prompt matter.
  /// @throws ArgumentError  the prompt is empty, not UTF-8 or has a character that is not in the
  ///                        vocabulary; temperature is negative or not finite; top_k is negative;
  ///                        model and vocabulary do not fit together.
  Writer(Model model, std::string_view prompt, const Sampling& sampling = {});
  /// The next character, UTF-8. Dropout is off, and no gradients are kept.
  std::string next();

 private:
  Tensor logits();
  Model model_;
  Sampling sampling_;
  Generator generator_;
  std::vector<int64_t> read_;     // what the cache has
  std::vector<int64_t> pending_;  // what is to be read
  std::unique_ptr<nn::KeyValueCache> cache_;
};

/// `length` characters that continue the prompt, as a Writer gives them. ArgumentError as there,
/// and for a negative length.
std::string generate(const Model& model, std::string_view prompt, int64_t length,
                     const Sampling& sampling = {});

}  // namespace normlab::language
