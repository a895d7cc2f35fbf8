#pragma once

#include <string>
#include <string_view>

#include "normlab/parse/sentence.h"

namespace normlab::parse {

/// The reason why a line cannot be text, "" if it can.
std::string raw_text_fault(std::string_view line);
/// True if a line has more than white space and soft hyphens. It must be UTF-8.
bool has_words(std::string_view line);
/// The words between white space; the comment "text" has them with one blank between. The line must
/// be UTF-8.
Sentence tokenized_sentence(std::string_view line);

}  // namespace normlab::parse
