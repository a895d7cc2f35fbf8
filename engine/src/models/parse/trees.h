#pragma once

#include <optional>

#include "normlab/parse.h"

namespace normlab::parse {

/// Why heads are no tree: a word and what is wrong with it.
struct Fault {
  int32_t word;
  std::string what;
};
/// The first fault of heads that should be a tree or a forest. They may be `Heads::any`, too: then
/// only their range counts.
std::optional<Fault> fault_of(const std::vector<int32_t>& heads, Heads kind);
/// Number of words with head 0.
int64_t roots_of(const std::vector<int32_t>& heads);
/// The last word that each word is the head of, 0 without any.
std::vector<int32_t> last_children(const std::vector<int32_t>& heads);
/// is_projective() of heads that are known to be a forest.
bool builds_without_crossing(const std::vector<int32_t>& heads);

}  // namespace normlab::parse
