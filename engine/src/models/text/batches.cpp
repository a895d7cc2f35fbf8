#include <algorithm>

#include "normlab/text.h"
#include "ops/segments.h"

namespace normlab::text {
namespace {

Tensor integers(const std::vector<int64_t>& values) {
  return Tensor::of<int64_t>({static_cast<int64_t>(values.size())}, values);
}

void check_integers(const char* op, const char* name, const Tensor& x) {
  check<ArgumentError>(x.defined(), op, name, " is undefined");
  check<DtypeError>(x.dtype() == DType::int64, op, name, " must be int64, got ", x.dtype());
  check(x.rank() == 1, op, name, " must have one axis, got ", x.shape());
}

void check_packed(const char* op, const Packed& sentences) {
  check_integers(op, "tokens", sentences.tokens);
  check<ArgumentError>(sentences.offsets.defined(), op, "offsets is undefined");
  check_offsets(op, sentences.offsets, sentences.tokens);
}

/// The sentences' numbers, shuffled, then by length in steps of `bucket`.
Tensor shuffled_by_length(const Tensor& lengths, int64_t bucket, Generator& generator) {
  Tensor order = permutation(lengths.numel(), generator);
  const int64_t* length = lengths.data<int64_t>();
  std::stable_sort(order.data<int64_t>(), order.data<int64_t>() + order.numel(),
                   [=](int64_t a, int64_t b) { return length[a] / bucket < length[b] / bucket; });
  return order;
}

/// Cuts `order` into runs of at most `tokens` tokens, or of one sentence.
std::vector<Tensor> runs_of(const Tensor& order, const Tensor& lengths, int64_t tokens) {
  const int64_t* length = lengths.data<int64_t>();
  std::vector<Tensor> runs;
  int64_t begin = 0, total = 0;
  for (int64_t i = 0; i < order.numel(); ++i) {
    const int64_t next = length[order.data<int64_t>()[i]];
    if (i > begin && (total > tokens || next > tokens - total)) {
      runs.push_back(order.slice(begin, i).clone());
      begin = i;
      total = 0;
    }
    total += next;
  }
  if (begin < order.numel()) runs.push_back(order.slice(begin, order.numel()).clone());
  return runs;
}

}  // namespace

Packed pack(const std::vector<std::vector<int64_t>>& sentences) {
  std::vector<int64_t> tokens, offsets{0};
  for (const std::vector<int64_t>& sentence : sentences) {
    tokens.insert(tokens.end(), sentence.begin(), sentence.end());
    offsets.push_back(static_cast<int64_t>(tokens.size()));
  }
  return {integers(tokens), integers(offsets)};
}

Packed take(const Packed& sentences, const Tensor& index) {
  check_packed("take", sentences);
  check_integers("take", "index", index);
  const int64_t n = sentences.size();
  const int64_t *from = sentences.tokens.data<int64_t>(), *at = sentences.offsets.data<int64_t>();
  std::vector<int64_t> tokens, offsets{0};
  for (int64_t k = 0; k < index.numel(); ++k) {
    const int64_t i = index.data<int64_t>()[k];
    check<RangeError>(0 <= i && i < n, "take", "index must be in [0, ", n, "), index[", k, "] is ",
                      i);
    tokens.insert(tokens.end(), from + at[i], from + at[i + 1]);
    offsets.push_back(static_cast<int64_t>(tokens.size()));
  }
  return {integers(tokens), integers(offsets)};
}

std::vector<Tensor> token_batches(const Tensor& lengths, int64_t tokens, int64_t bucket,
                                  Generator& generator) {
  check_integers("token_batches", "lengths", lengths);
  check<ArgumentError>(tokens >= 1 && bucket >= 1, "token_batches",
                       "tokens and bucket must be at least 1, got ", tokens, " and ", bucket);
  for (int64_t i = 0; i < lengths.numel(); ++i)
    check<ArgumentError>(lengths.data<int64_t>()[i] >= 0, "token_batches",
                         "lengths must not be negative, lengths[", i, "] is ",
                         lengths.data<int64_t>()[i]);
  const std::vector<Tensor> runs =
      runs_of(shuffled_by_length(lengths, bucket, generator), lengths, tokens);
  const Tensor order = permutation(static_cast<int64_t>(runs.size()), generator);
  std::vector<Tensor> batches;
  for (size_t i = 0; i < runs.size(); ++i)
    batches.push_back(runs[static_cast<size_t>(order.data<int64_t>()[i])]);
  return batches;
}

}  // namespace normlab::text
