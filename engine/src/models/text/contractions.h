#pragma once

#include <string_view>
#include <vector>

namespace normlab::text {

/// The words of a multi-word token, as their lengths: "don't" is 2 + 3, "cannot" 3 + 3, "dog's"
/// 3 + 2, "gonna" 3 + 2. One length for a word that is none. In shapes, see shapes.h.
std::vector<size_t> words_in(std::string_view token);
/// Length of the clitic with an apostrophe ('s, 'll) that is the text's first word, 0 for none.
size_t clitic_length(std::string_view text);

}  // namespace normlab::text
