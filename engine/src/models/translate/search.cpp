#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "core/json.h"
#include "models/evaluation.h"
#include "models/translate/candidates.h"
#include "normlab/autograd.h"
#include "normlab/translate.h"
#include "ops/matmul.h"

namespace normlab::translate {
namespace {

constexpr const char* kPenaltyNames[] = {"power", "gnmt"};
constexpr int64_t kLengthFactor = 2, kLengthMore = 50;
constexpr int64_t kWidestBeam = 1000;  // beginnings of one sentence that memory always holds

double penalty_of(int64_t length, const SearchOptions& options) {
  const auto n = static_cast<double>(length);
  return std::pow(options.penalty == LengthPenalty::power ? n : (5 + n) / 6, options.alpha);
}

/// So few sentences that a step has fewer rows than linear() turns a weight for: then a row of a
/// product does not depend on the others.
int64_t most_together(int64_t beam) {
  return std::max<int64_t>((kRowsToTurn - 1) / beam, 1);
}

/// A beginning that is under way.
struct Beginning {
  std::vector<int64_t> tokens;
  double score = 0.0;  // sum of log probabilities
};

/// The search for one sentence.
class Sentence {
 public:
  Sentence(size_t number, int64_t longest) : number_(number), longest_(longest) {}

  size_t number() const { return number_; }
  bool is_done(const SearchOptions& options) const {
    return live_.empty() || ended_ >= options.beam;
  }
  const std::vector<Beginning>& live() const { return live_; }
  Hypothesis best() && { return best_ ? *std::move(best_) : Hypothesis{}; }

  /// Takes a step by the log probabilities [live, vocabulary] of what follows. Returns, for each
  /// new beginning, which of the old ones it goes on from.
  std::vector<int64_t> step(const float* logs, int64_t vocabulary, const SearchOptions& options) {
    const auto beam = static_cast<size_t>(options.beam);
    const auto length = static_cast<int64_t>(live_.front().tokens.size()) + 1;
    std::vector<double> scores;
    for (const Beginning& beginning : live_) scores.push_back(beginning.score);
    const std::vector<Candidate> candidates =
        best_candidates(logs, scores, vocabulary, length >= longest_, 2 * beam);
    std::vector<Beginning> next;
    std::vector<int64_t> from;
    for (size_t rank = 0; rank < candidates.size() && next.size() < beam; ++rank) {
      const Candidate& candidate = candidates[rank];
      const Beginning& before = live_[static_cast<size_t>(candidate.before)];
      if (candidate.token == Subwords::kEnd) {
        if (rank < beam) end(before, candidate.score / penalty_of(length, options));
        continue;
      }
      next.push_back({before.tokens, candidate.score});
      next.back().tokens.push_back(candidate.token);
      from.push_back(candidate.before);
    }
    live_ = std::move(next);
    return from;
  }

 private:
  void end(const Beginning& beginning, double score) {
    ++ended_;
    if (!best_ || score > best_->score) best_ = Hypothesis{beginning.tokens, score};
  }

  size_t number_;
  int64_t longest_, ended_ = 0;
  std::vector<Beginning> live_{1};
  std::optional<Hypothesis> best_;
};

/// Sentences that are searched together.
class Group {
 public:
  Group(Translator& translator, const SearchOptions& options)
      : translator_(translator),
        options_(options),
        device_(translator.parameters().front().device()) {}

  void add(size_t number, const std::vector<int64_t>& source) {
    const auto length = static_cast<int64_t>(source.size());
    const int64_t longest =
        std::min(kLengthFactor * length + kLengthMore, translator_.options().positions - 1);
    sentences_.emplace_back(number, std::max<int64_t>(longest, 1));
    sources_.push_back(source);
    sources_.back().push_back(Subwords::kEnd);
  }

  /// Puts the results to the sentences' numbers.
  void run(std::vector<Hypothesis>& results) {
    const Memory memory = encoded();
    while (!sentences_.empty()) {
      const Tensor logits = translator_.decode(next(), memory.rows, memory.offsets, cache_);
      const Tensor logs = log_softmax(logits).to(DType::float32).to(Device::cpu);
      advance(logs, results);
    }
  }

 private:
  struct Memory {
    Tensor rows, offsets;
  };

  /// Each sentence on its own: the last bits of a product may depend on its number of rows.
  Memory encoded() {
    std::vector<Tensor> rows;
    std::vector<int64_t> offsets{0};
    for (const std::vector<int64_t>& source : sources_) {
      rows.push_back(translator_.encode(text::pack({source}).to(device_)));
      offsets.push_back(offsets.back() + rows.back().size(0));
    }
    const auto count = static_cast<int64_t>(offsets.size());
    return {concat(rows), Tensor::of<int64_t>({count}, offsets).to(device_)};
  }

  /// The last subword of every beginning.
  text::Packed next() const {
    std::vector<std::vector<int64_t>> last;
    for (const Sentence& sentence : sentences_)
      for (const Beginning& beginning : sentence.live())
        last.push_back({beginning.tokens.empty() ? Subwords::kBegin : beginning.tokens.back()});
    return text::pack(last).to(device_);
  }

  void advance(const Tensor& logs, std::vector<Hypothesis>& results) {
    const float* row = logs.data<float>();
    const int64_t vocabulary = logs.size(1);
    std::vector<int64_t> kept;
    std::vector<Sentence> going_on;
    int64_t first = 0;
    for (Sentence& sentence : sentences_) {
      const auto count = static_cast<int64_t>(sentence.live().size());
      const std::vector<int64_t> from =
          sentence.step(row + first * vocabulary, vocabulary, options_);
      if (sentence.is_done(options_)) {
        const size_t number = sentence.number();
        results[number] = std::move(sentence).best();
      } else {
        for (const int64_t i : from) kept.push_back(first + i);
        going_on.push_back(std::move(sentence));
      }
      first += count;
    }
    sentences_ = std::move(going_on);
    if (!sentences_.empty()) cache_.take(kept);
  }

  Translator& translator_;
  const SearchOptions& options_;
  Device device_;
  std::vector<Sentence> sentences_;
  std::vector<std::vector<int64_t>> sources_;
  nn::KeyValueCache cache_;
};

void check_search(const Translator& translator, const std::vector<std::vector<int64_t>>& sources,
                  const SearchOptions& options) {
  check<ArgumentError>(options.beam >= 1 && options.beam <= kWidestBeam, "search",
                       "beam must be 1 to ", kWidestBeam, ", got ", options.beam);
  check<ArgumentError>(options.sentences >= 1, "search", "sentences must be at least 1, got ",
                       options.sentences);
  check<ArgumentError>(std::isfinite(options.alpha), "search", "alpha must be finite, got ",
                       options.alpha);
  const int64_t most = translator.options().positions - 1;
  for (size_t i = 0; i < sources.size(); ++i)
    check<ArgumentError>(static_cast<int64_t>(sources[i].size()) <= most, "search", "sentence ", i,
                         " has ", sources[i].size(), " subwords, the model takes at most ", most);
}

}  // namespace

const char* name_of(LengthPenalty penalty) {
  return kPenaltyNames[static_cast<size_t>(penalty)];
}

LengthPenalty length_penalty_named(const std::string& name) {
  for (size_t i = 0; i < std::size(kPenaltyNames); ++i)
    if (name == kPenaltyNames[i]) return static_cast<LengthPenalty>(i);
  fail<ArgumentError>("penalty", "must be 'power' or 'gnmt', got ", json_excerpt(name));
}

std::vector<Hypothesis> search(Translator& translator,
                               const std::vector<std::vector<int64_t>>& sources,
                               const SearchOptions& options) {
  check_search(translator, sources, options);
  const NoGrad no_grad;
  const Evaluation evaluation(translator);
  // Sentences of about the same length end together.
  std::vector<size_t> order(sources.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, {}, [&](size_t i) { return sources[i].size(); });
  std::vector<Hypothesis> results(sources.size());
  const auto step = static_cast<size_t>(std::min(options.sentences, most_together(options.beam)));
  for (size_t begin = 0; begin < order.size(); begin += step) {
    Group group(translator, options);
    for (size_t i = begin; i < std::min(begin + step, order.size()); ++i)
      group.add(order[i], sources[order[i]]);
    group.run(results);
  }
  return results;
}

}  // namespace normlab::translate
