#include "models/parse/trees.h"

#include <algorithm>

namespace normlab::parse {
namespace {

template <class... Parts>
std::optional<Fault> fault(int32_t word, const Parts&... parts) {
  std::ostringstream what;
  (what << ... << parts);
  return Fault{word, what.str()};
}

std::optional<Fault> range_fault(const std::vector<int32_t>& heads, bool unknown_too) {
  const auto n = static_cast<int32_t>(heads.size()) - 1;
  for (int32_t w = 1; w <= n; ++w) {
    const int32_t head = heads[w];
    if (head == kNone && unknown_too) continue;
    if (head == kNone) return fault(w, "its head must be known");
    if (head < 0 || head > n) return fault(w, "its head must be in [0, ", n, "], is ", head);
    if (head == w) return fault(w, "it must not be its own head");
  }
  return std::nullopt;
}

std::optional<Fault> root_fault(const std::vector<int32_t>& heads) {
  const auto begin = heads.begin() + 1;
  const auto first = std::find(begin, heads.end(), 0);
  if (first == heads.end()) return fault(1, "its sentence must have a root, a word with head 0");
  const auto second = std::find(first + 1, heads.end(), 0);
  if (second == heads.end()) return std::nullopt;
  return fault(static_cast<int32_t>(second - heads.begin()),
               "its sentence must have one root, it and word ", first - heads.begin(),
               " have head 0");
}

/// Follows the heads from each word until a word that was seen before.
std::optional<Fault> cycle_fault(const std::vector<int32_t>& heads) {
  std::vector<int32_t> seen_from(heads.size(), 0);
  for (int32_t w = 1; w < static_cast<int32_t>(heads.size()); ++w) {
    int32_t at = w;
    for (; at != 0 && seen_from[at] == 0; at = heads[at]) seen_from[at] = w;
    if (at != 0 && seen_from[at] == w) return fault(at, "its heads lead back to it, in a cycle");
  }
  return std::nullopt;
}

void check_forest(const char* op, const std::vector<int32_t>& heads, Heads kind) {
  check<ArgumentError>(!heads.empty() && heads[0] == kNone, op,
                       "heads must begin with the root's, which is ", kNone);
  check<ArgumentError>(heads.size() <= INT32_MAX, op, "too many words");
  const std::optional<Fault> found = fault_of(heads, kind);
  if (found) fail<ArgumentError>(op, "word ", found->word, ": ", found->what);
}

/// Numbers of the words as a walk enters them, parents first, and of those it enters before it
/// leaves a word: the descendants of h are those w with enter[h] <= enter[w] < leave[h].
struct Intervals {
  std::vector<int32_t> enter, leave;

  explicit Intervals(const std::vector<int32_t>& heads) : enter(heads.size()), leave(heads.size()) {
    // Children as linked lists, the last one first.
    std::vector<int32_t> child(heads.size(), 0), sibling(heads.size(), 0);
    for (int32_t w = 1; w < static_cast<int32_t>(heads.size()); ++w) {
      sibling[w] = child[heads[w]];
      child[heads[w]] = w;
    }
    int32_t time = 0, at = 0;
    while (true) {
      enter[at] = time++;
      if (child[at] != 0) {
        at = child[at];
        continue;
      }
      for (leave[at] = time; at != 0 && sibling[at] == 0; leave[at] = time) at = heads[at];
      if (at == 0) return;
      at = sibling[at];
    }
  }
  bool is_under(int32_t word, int32_t ancestor) const {
    return enter[ancestor] <= enter[word] && enter[word] < leave[ancestor];
  }
};

}  // namespace

std::optional<Fault> fault_of(const std::vector<int32_t>& heads, Heads kind) {
  if (heads.size() == 1) return std::nullopt;
  std::optional<Fault> found = range_fault(heads, kind == Heads::any);
  if (!found && kind == Heads::tree) found = root_fault(heads);
  if (!found && kind != Heads::any) found = cycle_fault(heads);
  return found;
}

int64_t roots_of(const std::vector<int32_t>& heads) {
  return std::count(heads.begin() + 1, heads.end(), 0);
}

std::vector<int32_t> last_children(const std::vector<int32_t>& heads) {
  std::vector<int32_t> last(heads.size(), 0);
  for (int32_t w = 1; w < static_cast<int32_t>(heads.size()); ++w) last[heads[w]] = w;
  return last;
}

bool builds_without_crossing(const std::vector<int32_t>& heads) {
  // The oracle without a state: it takes every word off the stack exactly if no head
  // reaches over a word that is not below it.
  const std::vector<int32_t> last = last_children(heads);
  std::vector<int32_t> stack{0};
  for (int32_t w = 1; w < static_cast<int32_t>(heads.size()); ++w) {
    stack.push_back(w);
    while (stack.size() >= 2) {
      const int32_t top = stack.back(), below = stack[stack.size() - 2];
      if (heads[below] == top)
        stack.erase(stack.end() - 2);
      else if (heads[top] == below && last[top] <= w)
        stack.pop_back();
      else
        break;
    }
  }
  return stack.size() == 1;
}

std::vector<int32_t> heads_of(const Sentence& sentence) {
  std::vector<int32_t> heads{kNone};
  heads.reserve(sentence.words.size() + 1);
  for (const Word& word : sentence.words) heads.push_back(word.head);
  return heads;
}

void check_tree(const std::vector<int32_t>& heads) {
  check_forest("check_tree", heads, Heads::tree);
}

bool is_projective(const std::vector<int32_t>& heads) {
  check_forest("is_projective", heads, Heads::forest);
  return builds_without_crossing(heads);
}

std::vector<int32_t> nonprojective_words(const std::vector<int32_t>& heads) {
  check_forest("nonprojective_words", heads, Heads::forest);
  std::vector<int32_t> found;
  if (builds_without_crossing(heads)) return found;
  const Intervals intervals(heads);
  for (int32_t w = 1; w < static_cast<int32_t>(heads.size()); ++w) {
    const auto [from, to] = std::minmax(w, heads[w]);
    for (int32_t between = from + 1; between < to; ++between) {
      if (intervals.is_under(between, heads[w])) continue;
      found.push_back(w);
      break;
    }
  }
  return found;
}

}  // namespace normlab::parse
