#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace normlab::text {

/// A text and the number of times that it occurs.
using Count = std::pair<std::string_view, int64_t>;
/// The texts that occur at least `least` times, the most frequent first, equals by their bytes.
std::vector<std::string> by_frequency(std::vector<Count> counts, int64_t least);

}  // namespace normlab::text
