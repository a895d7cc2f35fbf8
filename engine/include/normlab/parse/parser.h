#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "normlab/io.h"
#include "normlab/parse/network.h"
#include "normlab/parse/tagger.h"
#include "normlab/parse/vocabulary.h"

namespace normlab::parse {

struct Tagger {
  std::shared_ptr<Network> network;
  TagVocabulary vocabulary;
};

/// The content of a model file: a trained parser with all that it takes to parse a line.
struct Model {
  std::shared_ptr<Network> network;
  Vocabulary vocabulary;
  std::optional<Tagger> tagger = {};  ///< without it, sentences must have tags
  Metadata notes = {};                ///< free text that goes along: task, scores, ...
};

/// Writes one safetensors file: parameters as tensors; vocabularies, settings and notes as
/// metadata. ArgumentError if their numbers do not fit together.
void save_model(const std::string& path, const Model& model);
/// @throws FileError  not a safetensors file, a model of another task, a missing or wrong setting,
///                  tensor or entry: the path, what was found, and what was expected.
Model load_model(const std::string& path);

struct ParserOptions {
  /// Number of frequent words whose products in the hidden layer are precomputed, as are those of
  /// all tags and labels. Affects speed and memory only: 36 KiB a word with 512 hidden units.
  int64_t known_words = 1500;
  /// Sentences that a thread parses side by side. Affects speed only.
  int64_t width = 64;
};

/// Parses greedily on the CPU, with a copy of a model's weights from any device. Threads may share
/// it.
class Parser {
 public:
  explicit Parser(Model model, const ParserOptions& options = {});
  ~Parser();
  Parser(Parser&&) noexcept;
  Parser& operator=(Parser&&) noexcept;

  const Model& model() const;
  /// Writes heads and relations into sentences, on all threads; before that, UPOS and XPOS that are
  /// not given ("_") where the parser's tags are not. A sentence's tree does not depend on the
  /// others. ArgumentError for a sentence without words, or without tags if there is no tagger.
  void parse(std::span<Sentence> sentences) const;
  void parse(std::vector<Sentence>& sentences) const { parse(std::span<Sentence>(sentences)); }
  /// The tree of a line of raw text. Errors as sentence_of().
  Sentence parse(std::string_view line) const;

 private:
  struct Parts;
  std::unique_ptr<const Parts> parts_;
};

}  // namespace normlab::parse
