#pragma once

#include "normlab/text.h"

namespace normlab::text {

/// Bytes of a line that are one word.
struct Token {
  size_t begin, size;
  /// True for a word that continues the multi-word token of the word before: "n't" of "don't".
  bool is_joined = false;
};
/// The words of a line of raw text as the English Web Treebank of Universal Dependencies cuts
/// them, spelled as they are written. URLs, addresses, file names, numbers, abbreviations and
/// emoticons are whole; contractions are the words of one multi-word token. All but white space
/// and lone soft hyphens is in one of them, in its order. Errors as tokenize() has them.
std::vector<Token> tokens_of(std::string_view line);

}  // namespace normlab::text
