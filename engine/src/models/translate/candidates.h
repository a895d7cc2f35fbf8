#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace normlab::translate {

/// A beginning of a sentence, one subword longer.
struct Candidate {
  int64_t before;  // which of the beginnings
  int64_t token;
  double score;  // sum of log probabilities
};

/// The best `most` continuations of beginnings that have these scores, the best first. Equal
/// scores: the lower number of the beginning, then of the token. Those of probability 0 or NaN are
/// left out.
/// @param logs  log probabilities [scores.size(), vocabulary]; kUnknown and kBegin are passed over.
/// @param ends  only kEnd may follow.
std::vector<Candidate> best_candidates(const float* logs, const std::vector<double>& scores,
                                       int64_t vocabulary, bool ends, std::size_t most);

}  // namespace normlab::translate
