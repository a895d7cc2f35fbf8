#include <algorithm>
#include <atomic>
#include <exception>

#include "cpu/parallel.h"
#include "models/parse/frozen.h"
#include "models/parse/model.h"
#include "normlab/autograd.h"

namespace normlab::parse {
namespace {

using std::string_view;

/// Words that the tagger sees at a time.
constexpr int64_t kTagBatch = 64;
/// Elementary operations of a sentence, about: enough for a thread.
constexpr int64_t kSentenceCost = 1'000'000;

// --- what stands where ------------------------------------------------------------------------

std::vector<RowRange> parser_ranges(const Vocabulary& v, int64_t known_words) {
  constexpr int kWords = 18;
  const auto words = static_cast<int32_t>(3 + std::min<int64_t>(known_words, v.words().size()));
  std::vector<RowRange> ranges(kWords, {0, words});
  ranges.resize(2 * kWords, {v.tags_begin(), v.labels_begin() - v.tags_begin()});
  ranges.resize(kFeatures, {v.labels_begin(), v.size() - v.labels_begin()});
  return ranges;
}

std::vector<RowRange> tagger_ranges(const TagVocabulary& v, int64_t known_words) {
  constexpr int kWords = 5, kShapes = 3;
  const auto words = static_cast<int32_t>(2 + std::min<int64_t>(known_words, v.words().size()));
  const auto affixes = static_cast<int32_t>(2 + std::min<int64_t>(known_words, v.affixes().size()));
  std::vector<RowRange> ranges(kWords, {0, words});
  ranges.resize(kWords + kShapes, {v.shapes_begin(), 1 + TagVocabulary::kShapes});
  ranges.resize(kTagFeatures, {v.affixes_begin(), affixes});
  return ranges;
}

Tensor rows_of(const std::vector<int32_t>& rows, int64_t begin, int64_t n, int64_t width) {
  return Tensor::of<int32_t>(
      {n, width}, std::span<const int32_t>(rows).subspan(static_cast<size_t>(begin * width),
                                                         static_cast<size_t>(n * width)));
}

/// True if every word has its tag. Of UPOS and XPOS one may be missing unless `whole`: not every
/// treebank has both.
bool has_tags(const Sentence& sentence, Tags tags, bool whole) {
  return std::ranges::all_of(sentence.words, [&](const Word& word) {
    const bool upos = word.upos != "_", xpos = word.xpos != "_";
    if (tags == Tags::both) return whole ? upos && xpos : upos || xpos;
    return tags == Tags::upos ? upos : xpos;
  });
}

void check_sentences(std::span<const Sentence> sentences, const Model& model) {
  for (size_t i = 0; i < sentences.size(); ++i) {
    const size_t n = sentences[i].words.size();
    check<ArgumentError>(n > 0, "parse", "sentence ", i + 1, " must have words");
    check<ArgumentError>(n <= kMaxSentenceLines, "parse", "sentence ", i + 1, " must have at most ",
                         kMaxSentenceLines, " words, has ", n);
    check<ArgumentError>(
        model.tagger || has_tags(sentences[i], model.vocabulary.options().tags, false), "parse",
        "sentence ", i + 1, " has no tags, and the model has no tagger");
  }
}

}  // namespace

struct Parser::Parts {
  Model model;
  ParserOptions options;
  Transitions transitions;
  Tensor masks;
  FrozenNetwork parser;
  std::optional<FrozenNetwork> tagger;

  Parts(Model given, const ParserOptions& how)
      : model(std::move(given)),
        options(how),
        transitions(model.vocabulary.transitions()),
        masks(transitions.masks()),
        parser(*model.network, parser_ranges(model.vocabulary, how.known_words)) {
    if (model.tagger)
      tagger.emplace(*model.tagger->network,
                     tagger_ranges(model.tagger->vocabulary, how.known_words));
  }

  void tag(Sentence& sentence) const;
  int32_t best_legal(const float* logits, Moves moves) const;
  void take_forced(State& state) const;
  void write(const State& state, Sentence& sentence) const;
  void work(std::span<Sentence> sentences, size_t width, std::atomic<size_t>& next) const;
};

/// UPOS and XPOS of every word where they are not given.
void Parser::Parts::tag(Sentence& sentence) const {
  const std::vector<int32_t> rows = model.tagger->vocabulary.features(sentence);
  const auto n = static_cast<int64_t>(sentence.words.size());
  const auto tags = static_cast<int64_t>(model.tagger->vocabulary.tags().size());
  for (int64_t begin = 0; begin < n; begin += kTagBatch) {
    const int64_t count = std::min(kTagBatch, n - begin);
    const Tensor logits = tagger->logits(rows_of(rows, begin, count, kTagFeatures));
    for (int64_t i = 0; i < count; ++i) {
      const float* row = logits.data<float>() + i * logits.size(1);
      const auto [upos, xpos] = model.tagger->vocabulary.columns(
          static_cast<int32_t>(std::max_element(row, row + tags) - row));
      Word& word = sentence.words[static_cast<size_t>(begin + i)];
      if (word.upos == "_") word.upos = upos;
      if (word.xpos == "_") word.xpos = xpos;
    }
  }
}

int32_t Parser::Parts::best_legal(const float* logits, Moves moves) const {
  const bool* legal = masks.data<bool>() + static_cast<int64_t>(moves) * masks.size(1);
  int32_t best = kNone;
  for (int32_t t = 0; t < transitions.classes(); ++t)
    if (legal[t] && (best == kNone || logits[t] > logits[best])) best = t;
  return best;
}

void Parser::Parts::take_forced(State& state) const {
  for (int32_t t = transitions.forced(state.moves()); t != kNone;
       t = transitions.forced(state.moves()))
    transitions.apply(state, t);
}

void Parser::Parts::write(const State& state, Sentence& sentence) const {
  for (int32_t w = 1; w <= state.words(); ++w) {
    Word& word = sentence.words[static_cast<size_t>(w - 1)];
    word.head = state.head(w);
    word.deprel = model.vocabulary.labels()[static_cast<size_t>(state.label(w))];
  }
}

/// Parses sentences that nobody has taken yet, `width` side by side, until none is left.
void Parser::Parts::work(std::span<Sentence> sentences, size_t width,
                         std::atomic<size_t>& next) const {
  struct Item {
    Configuration at;
    Sentence* sentence;
  };
  std::vector<Item> items;
  const auto take_next = [&] {
    const size_t i = next++;
    if (i >= sentences.size()) return false;
    Sentence& sentence = sentences[i];
    if (tagger && !has_tags(sentence, model.vocabulary.options().tags, true)) tag(sentence);
    items.push_back({start(model.vocabulary, sentence), &sentence});
    take_forced(items.back().at.state);
    return true;
  };
  while (true) {
    while (items.size() < width && take_next()) {
    }
    std::erase_if(items, [&](const Item& item) {
      if (!item.at.state.done()) return false;
      write(item.at.state, *item.sentence);
      return true;
    });
    if (items.empty() && next >= sentences.size()) return;
    if (items.empty()) continue;
    const auto n = static_cast<int64_t>(items.size());
    Tensor rows = Tensor::empty({n, kFeatures}, DType::int32);
    for (int64_t i = 0; i < n; ++i) {
      const Configuration& at = items[static_cast<size_t>(i)].at;
      features(at.state, at.ids, model.vocabulary.labels_begin(),
               rows.data<int32_t>() + i * kFeatures);
    }
    const Tensor logits = parser.logits(rows);
    for (int64_t i = 0; i < n; ++i) {
      State& state = items[static_cast<size_t>(i)].at.state;
      transitions.apply(state,
                        best_legal(logits.data<float>() + i * logits.size(1), state.moves()));
      take_forced(state);
    }
  }
}

Parser::Parser(Model model, const ParserOptions& options) {
  check<ArgumentError>(options.known_words >= 0 && options.width > 0, "Parser",
                       "known_words must not be negative and width be positive, got ",
                       options.known_words, " and ", options.width);
  check_model("Parser", model);
  parts_ = std::make_unique<const Parts>(std::move(model), options);
}
Parser::~Parser() = default;
Parser::Parser(Parser&&) noexcept = default;
Parser& Parser::operator=(Parser&&) noexcept = default;

const Model& Parser::model() const {
  return parts_->model;
}

void Parser::parse(std::span<Sentence> sentences) const {
  check_sentences(sentences, parts_->model);
  if (sentences.empty()) return;
  const size_t n = sentences.size(), workers = std::min(n, static_cast<size_t>(num_threads()));
  // A few sentences are shared out, too.
  const size_t width =
      std::min(static_cast<size_t>(parts_->options.width), (n + workers - 1) / workers);
  std::atomic<size_t> next = 0;
  std::vector<std::exception_ptr> errors(workers);
  parallel_for(static_cast<int64_t>(workers), kSentenceCost, [&](int64_t i) {
    try {
      parts_->work(sentences, width, next);
    } catch (...) {
      next = sentences.size();
      errors[static_cast<size_t>(i)] = std::current_exception();
    }
  });
  for (const std::exception_ptr& error : errors)
    if (error) std::rethrow_exception(error);
}

Sentence Parser::parse(string_view line) const {
  Sentence sentence = sentence_of(line);
  parse(std::span<Sentence>(&sentence, 1));
  return sentence;
}

}  // namespace normlab::parse
