#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "normlab/nn.h"

/// From lines of text to labels: words, vocabulary, batches, the Transformer classifier.
namespace normlab::text {

// --- lines ------------------------------------------------------------------------------------

/// Longest line of a text, in bytes.
inline constexpr size_t kMaxLineBytes = 1 << 20;

/// Removes CR from a line's end, and from a text's first line the byte order mark.
void trim_line(std::string& line, bool is_first);

/// The lines of a text that comes in chunks, as they come. Memory is bounded: of a line that is too
/// long, next() gives the beginning, longer than kMaxLineBytes, and passes over the rest.
class Lines {
 public:
  /// Puts the next bytes into its argument, and may wait for them; false at the end.
  using Chunks = std::function<bool(std::string&)>;
  explicit Lines(Chunks chunks) : chunks_(std::move(chunks)) {}
  /// Puts the next line, without its LF, into its argument; false after the last one.
  bool next(std::string& line);
  /// True if next() needs no other chunk.
  bool has_line() const;

 private:
  bool refill();
  Chunks chunks_;
  std::string chunk_;
  size_t at_ = 0;
  bool is_cut_ = false;  // until its end, the line does not count
};

// --- words ------------------------------------------------------------------------------------

/// The words and marks of a line of UTF-8, lower case, as the Penn Treebank cuts them: marks stand
/// alone ("good." -> "good" "."), clitics are cut off ("it's" -> "it" "'s", "don't" -> "do"
/// "n't"), brackets, quotation marks and dashes have one form each. Text that is cut already, and
/// the treebank's own escapes (-LRB-, ``, \/), come out as raw text does. Letters beyond Latin-1
/// keep their case.
/// @throws ArgumentError  invalid UTF-8 or a NUL character, naming the byte.
std::vector<std::string> tokenize(std::string_view line);

/// Words by number. Number 0 is every word that is not in it.
class Vocabulary {
 public:
  static constexpr int64_t kUnknown = 0;

  Vocabulary() : Vocabulary(std::vector<std::string>{}) {}
  /// `words` in order of their numbers 1, 2, ... ArgumentError for a word that is empty, has white
  /// space, or comes twice.
  explicit Vocabulary(std::vector<std::string> words);
  /// The words that occur at least `least` times, the most frequent first, equals by their bytes.
  static Vocabulary of(const std::vector<std::vector<std::string>>& sentences, int64_t least = 1);

  /// Number of words with the unknown one.
  int64_t size() const { return static_cast<int64_t>(words_.size()); }
  /// kUnknown if it is not there.
  int64_t number(std::string_view word) const;
  /// "<unk>" for 0. RangeError outside.
  const std::string& word(int64_t number) const;
  /// All but the unknown one, in order.
  std::vector<std::string> words() const { return {words_.begin() + 1, words_.end()}; }

 private:
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  std::vector<std::string> words_;
  std::unordered_map<std::string, int64_t, Hash, std::equal_to<>> numbers_;
};

// --- batches ----------------------------------------------------------------------------------

/// Sentences of any lengths, empty ones too, one after the other without padding.
struct Packed {
  Tensor tokens;   ///< int64 [T]: numbers of words
  Tensor offsets;  ///< int64 [S + 1]: sentence i is tokens[offsets[i] .. offsets[i + 1])
  int64_t size() const { return offsets.numel() - 1; }
  /// A copy on a device. DeviceError.
  Packed to(Device device) const { return {tokens.to(device), offsets.to(device)}; }
};

/// Every sentence, in order.
Packed pack(const std::vector<std::vector<int64_t>>& sentences);
/// The sentences of these numbers (int64 [n]), in that order. RangeError.
Packed take(const Packed& sentences, const Tensor& index);

/// Cuts sentences into batches of at most `tokens` tokens (a longer sentence is a batch of its
/// own), each of sentences of about the same length: shuffled, sorted by length in steps of
/// `bucket` tokens, cut, and the batches shuffled.
/// @param lengths  int64 [S], each at least 0.
/// @return         the sentences' numbers, int64, one tensor a batch; every sentence once.
std::vector<Tensor> token_batches(const Tensor& lengths, int64_t tokens, int64_t bucket = 4,
                                  Generator& generator = default_generator());

// --- classifier -------------------------------------------------------------------------------

struct ClassifierOptions {
  int64_t vocabulary = 0;  ///< words with the unknown one
  int64_t classes = 2;
  double position_scale = 1.0;  ///< amplitude of the sines
  nn::TransformerOptions encoder = {};
  /// Type of the encoder's stored activations: float32 or bfloat16. Parameters and
  /// logits stay float32. Not saved: a model may be read for another device.
  DType dtype = DType::float32;
};

/// embedding + positions -> Transformer encoder -> mean over the words -> linear.
/// Positions are the sines of Vaswani et al. (2017), so sentences may have any length. Words begin
/// as normal(0, 1 / D): next to sines of amplitude 1 they are learned late, which may generalise
/// better, next to those of 1 / sqrt(D) at once.
class Classifier : public nn::Module {
 public:
  explicit Classifier(const ClassifierOptions& options);
  /// Logits [S, classes]. RangeError for a token that is not in the vocabulary. But for rounding,
  /// those of a sentence do not depend on its company. A sentence without words gets those of a
  /// zero vector.
  Tensor forward(const Packed& sentences);
  /// One sentence, tokens int64 [T] -> [classes].
  Tensor forward(const Tensor& tokens) override;
  const ClassifierOptions& options() const { return options_; }

 private:
  using nn::Module::on_register;
  void on_register(const std::string& name, const std::shared_ptr<nn::Module>& module) override;
  ClassifierOptions options_;
  std::shared_ptr<nn::Embedding> embedding_;
  std::shared_ptr<nn::TransformerEncoder> encoder_;
  std::shared_ptr<nn::Linear> output_;
};

/// A trained classifier with all that it takes to label a line: what a model file holds.
struct Model {
  std::shared_ptr<Classifier> classifier;
  Vocabulary vocabulary;
  std::vector<std::string> labels;  ///< one a class
  Metadata notes = {};              ///< free text that goes along: task, scores, ...

  /// Logits [n, classes] of n lines of text, without gradients, dropout off, on the CPU wherever
  /// the classifier is. Those of a line do not depend on the others, to the last bit. Threads may
  /// share a model in evaluation mode.
  Tensor logits(const std::vector<std::string>& lines) const;
  /// Logits [classes] and label of a line.
  std::pair<Tensor, std::string> label(std::string_view line) const;
};

/// One safetensors file: parameters as tensors; vocabulary, labels, settings and notes as
/// metadata. ArgumentError if their numbers do not fit together.
void save_model(const std::string& path, const Model& model);
/// @throws FileError  not a safetensors file, a model of another task, a setting, tensor or word
///                  that is missing or not as it must be: the path, what, and what was expected.
Model load_model(const std::string& path);

}  // namespace normlab::text
