#pragma once

#include "normlab/text.h"

namespace normlab::text {

/// Bytes of a line that are one word.
struct Token {
  size_t begin, size;
};
/// The words of a line as tokenize() cuts them, spelled as they are written; but the period of a
/// shortened word ("Mr.") is its own. Errors as tokenize() has them.
std::vector<Token> tokens_of(std::string_view line);

}  // namespace normlab::text
