#include "models/text/contractions.h"

#include <algorithm>

#include "models/text/shapes.h"

namespace normlab::text {
namespace {

using std::string_view;

/// Words that are written as one, cut where there is a "|".
constexpr string_view kWrittenAsOne[] = {
    "can|not", "gon|na", "wan|na",  "got|ta",  "out|ta",   "lem|me",  "gim|me",   "du|n|no",
    "c'm|on",  "d'|you", "'t|is",   "'t|was",  "do|nt",    "does|nt", "did|nt",   "is|nt",
    "are|nt",  "was|nt", "were|nt", "ca|nt",   "could|nt", "wo|nt",   "would|nt", "should|nt",
    "have|nt", "has|nt", "had|nt",  "ai|nt",   "must|nt",  "need|nt", "i|m",      "i|ve",
    "you|re",  "you|ve", "they|re", "they|ve", "we|ve",    "he|s",    "that|s",   "what|s",
    "there|s", "here|s", "you|ll",  "they|ll", "it|ll",    "i|'m|a",
};

/// Lengths of the parts of an entry if the token is it, none otherwise.
std::vector<size_t> parts_of(string_view entry, string_view token) {
  std::vector<size_t> lengths;
  for (size_t at = 0; at <= token.size();) {
    const size_t n = std::min(entry.find('|'), entry.size());
    if (token.substr(at, n) != entry.substr(0, n)) return {};
    lengths.push_back(n);
    at += n;
    if (n == entry.size()) return at == token.size() ? lengths : std::vector<size_t>{};
    entry.remove_prefix(n + 1);
  }
  return {};
}

}  // namespace

std::vector<size_t> words_in(string_view token) {
  for (const string_view entry : kWrittenAsOne)
    if (std::vector<size_t> lengths = parts_of(entry, token); !lengths.empty()) return lengths;
  std::vector<size_t> tails;
  const auto cut = [&] {
    for (const string_view clitic : kClitics)
      if (token.size() > clitic.size() && token.ends_with(clitic) &&
          !is_digit(token[token.size() - clitic.size() - 1]))
        return clitic.size();
    return size_t{0};
  };
  for (size_t n = cut(); n > 0; n = cut()) {
    tails.push_back(n);
    token.remove_suffix(n);
  }
  tails.push_back(token.size());
  std::ranges::reverse(tails);
  return tails;
}

size_t clitic_length(string_view text) {
  for (const string_view clitic : kClitics)
    if (clitic[0] == '\'' && text.starts_with(clitic) &&
        (text.size() == clitic.size() || !is_alnum(text[clitic.size()])))
      return clitic.size();
  return 0;
}

}  // namespace normlab::text
