#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

namespace normlab::translate {

/// Cuts text, which must be UTF-8, into characters and joins neighbours: again and again the two
/// whose piece has the least number, the left-most of equals, until no two are a piece. `number`
/// gives a piece's number, or a negative one. The views are into `text`.
std::vector<std::string_view> merged(std::string_view text,
                                     const std::function<int64_t(std::string_view)>& number);

}  // namespace normlab::translate
