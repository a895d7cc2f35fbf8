#include "models/translate/candidates.h"

#include <algorithm>
#include <limits>

#include "normlab/subwords.h"

namespace normlab::translate {
namespace {

constexpr double kImpossible = -std::numeric_limits<double>::infinity();

bool comes_first(const Candidate& a, const Candidate& b) {
  if (a.score != b.score) return a.score > b.score;
  return a.before != b.before ? a.before < b.before : a.token < b.token;
}

/// Keeps the best ones. They are offered in the order that decides between equals, so that one that
/// comes later must be better.
class Best {
 public:
  explicit Best(size_t most) : most_(most) {}
  void offer(const Candidate& candidate) {
    if (!(candidate.score > least_)) return;
    kept_.push_back(candidate);
    std::ranges::push_heap(kept_, comes_first);  // the worst on top
    if (kept_.size() > most_) {
      std::ranges::pop_heap(kept_, comes_first);
      kept_.pop_back();
    }
    if (kept_.size() == most_) least_ = kept_.front().score;
  }
  std::vector<Candidate> sorted() && {
    std::ranges::sort(kept_, comes_first);
    return std::move(kept_);
  }

 private:
  size_t most_;
  double least_ = kImpossible;
  std::vector<Candidate> kept_;
};

}  // namespace

std::vector<Candidate> best_candidates(const float* logs, const std::vector<double>& scores,
                                       int64_t vocabulary, bool ends, size_t most) {
  Best best(most);
  for (size_t i = 0; i < scores.size(); ++i) {
    const float* row = logs + static_cast<int64_t>(i) * vocabulary;
    const auto before = static_cast<int64_t>(i);
    best.offer({before, Subwords::kEnd, scores[i] + static_cast<double>(row[Subwords::kEnd])});
    for (int64_t token = Subwords::kEnd + 1; token < vocabulary && !ends; ++token)
      best.offer({before, token, scores[i] + static_cast<double>(row[token])});
  }
  return std::move(best).sorted();
}

}  // namespace normlab::translate
