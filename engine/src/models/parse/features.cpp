#include <numeric>

#include "cpu/parallel.h"
#include "models/parse/trees.h"

namespace normlab::parse {
namespace {

constexpr int kWords = 18, kChildren = 12;
/// Elementary operations of one state's features, about.
constexpr int64_t kCost = 200;

/// A tree that becomes examples.
struct Gold {
  std::vector<int32_t> heads, labels;
  enum Kind : uint8_t { kUsable, kNonprojective, kUnusable } kind = kUsable;
};

/// True if the root's label is where it belongs, and no label is unknown.
bool labels_fit(const Gold& gold, const Vocabulary& vocabulary) {
  const Transitions transitions = vocabulary.transitions();
  for (size_t w = 1; w < gold.heads.size(); ++w)
    if (gold.labels[w] == kNone || !transitions.fits(gold.labels[w], gold.heads[w] == 0))
      return false;
  return true;
}

Gold gold_of(const Sentence& sentence, const Vocabulary& vocabulary) {
  Gold gold{heads_of(sentence), {kNone}};
  for (const Word& word : sentence.words) gold.labels.push_back(vocabulary.label(word.deprel));
  if (!builds_without_crossing(gold.heads))
    gold.kind = Gold::kNonprojective;
  else if (roots_of(gold.heads) != 1 || !labels_fit(gold, vocabulary))
    gold.kind = Gold::kUnusable;
  return gold;
}

void check_forests(const Sentences& sentences) {
  for (size_t i = 0; i < sentences.size(); ++i) {
    const std::optional<Fault> fault = fault_of(heads_of(sentences[i]), Heads::forest);
    if (fault)
      fail<ArgumentError>("examples", "sentence ", i + 1, ", word ", fault->word, ": ",
                          fault->what);
  }
}

/// The transition that the oracle takes.
int32_t next_class(const Oracle& oracle, const State& state, const Transitions& transitions,
                   const Gold& gold) {
  switch (oracle.next(state)) {
    case Action::left_arc:
      return transitions.left(gold.labels[state.stack(1)]);
    case Action::right_arc:
      return transitions.right(gold.labels[state.stack(0)]);
    case Action::shift:
      break;
  }
  return Transitions::kShift;
}

/// Walks through the examples of one tree.
void write_examples(const Sentence& sentence, const Gold& gold, const Vocabulary& vocabulary,
                    int64_t first, Examples& out) {
  const Transitions transitions = vocabulary.transitions();
  const Oracle oracle(gold.heads);
  Configuration at = start(vocabulary, sentence);
  int32_t* row = out.features.data<int32_t>() + first * kFeatures;
  int64_t* chosen = out.classes.data<int64_t>() + first;
  uint8_t* moves = out.moves.data<uint8_t>() + first;
  while (!at.state.done()) {
    features(at.state, at.ids, vocabulary.labels_begin(), row);
    const int32_t transition = next_class(oracle, at.state, transitions, gold);
    *chosen++ = transition;
    *moves++ = static_cast<uint8_t>(at.state.moves());
    transitions.apply(at.state, transition);
    row += kFeatures;
  }
}

}  // namespace

// --- features ---------------------------------------------------------------------------------

Configuration start(const Vocabulary& vocabulary, const Sentence& sentence) {
  return {vocabulary.ids(sentence), State(static_cast<int32_t>(sentence.words.size()))};
}

void features(const State& state, const Ids& ids, int32_t labels_begin, int32_t* out) {
  const int32_t s1 = state.stack(0), s2 = state.stack(1);
  int32_t at[kWords] = {state.stack(2), s2, s1, state.buffer(0), state.buffer(1), state.buffer(2)};
  int32_t* child = at + kWords - kChildren;
  for (const int32_t s : {s1, s2}) {
    *child++ = state.left_child(s);
    *child++ = state.right_child(s);
    *child++ = state.second_left_child(s);
    *child++ = state.second_right_child(s);
    *child++ = state.left_child(state.left_child(s));
    *child++ = state.right_child(state.right_child(s));
  }
  for (int i = 0; i < kWords; ++i) {
    out[i] = ids.words[static_cast<size_t>(at[i] + 1)];
    out[kWords + i] = ids.tags[static_cast<size_t>(at[i] + 1)];
  }
  // kNone is -1: a word without a label gets the row of "null".
  for (int i = 0; i < kChildren; ++i)
    out[2 * kWords + i] = labels_begin + 1 + state.label(at[kWords - kChildren + i]);
}

void features(const Vocabulary& vocabulary, std::span<const Configuration* const> each,
              int32_t* out) {
  const int32_t labels_begin = vocabulary.labels_begin();
  parallel_blocks(static_cast<int64_t>(each.size()), 64, kCost, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      features(each[i]->state, each[i]->ids, labels_begin, out + i * kFeatures);
  });
}

void apply(const Transitions& transitions, std::span<Configuration* const> each,
           std::span<const int32_t> chosen) {
  check<ArgumentError>(each.size() == chosen.size(), "apply",
                       "there must be a transition for each of ", each.size(),
                       " states, there are ", chosen.size());
  for (size_t i = 0; i < each.size(); ++i) transitions.apply(each[i]->state, chosen[i]);
}

// --- examples ---------------------------------------------------------------------------------

Examples examples(const Sentences& sentences, const Vocabulary& vocabulary) {
  check_forests(sentences);
  const auto n = static_cast<int64_t>(sentences.size());
  std::vector<Gold> golds(sentences.size());
  parallel_blocks(n, 16, 1000, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) golds[i] = gold_of(sentences[i], vocabulary);
  });
  Examples out;
  std::vector<int64_t> first{0};
  for (const Gold& gold : golds) {
    const bool usable = gold.kind == Gold::kUsable;
    out.trees += usable;
    out.nonprojective += gold.kind == Gold::kNonprojective;
    out.unusable += gold.kind == Gold::kUnusable;
    first.push_back(first.back() + (usable ? 2 * static_cast<int64_t>(gold.heads.size() - 1) : 0));
  }
  out.features = Tensor::empty({first.back(), kFeatures}, DType::int32);
  out.classes = Tensor::empty({first.back()}, DType::int64);
  out.moves = Tensor::empty({first.back()}, DType::uint8);
  parallel_blocks(n, 16, 10'000, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      if (golds[i].kind == Gold::kUsable)
        write_examples(sentences[i], golds[i], vocabulary, first[i], out);
  });
  return out;
}

}  // namespace normlab::parse
