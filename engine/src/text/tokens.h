#pragma once

#include "normlab/text.h"

namespace normlab::text {

/// Bytes of a line that are one word.
struct Token {
  size_t begin, size;
};
/// The words of a line as tokenize() cuts them, as they are written. Errors as tokenize() has them.
std::vector<Token> tokens_of(std::string_view line);

}  // namespace normlab::text
