#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "normlab/parse/stream.h"

namespace normlab::parse {

/// The beginning of a text, taken to recognise its format.
struct Beginning {
  std::vector<std::string> lines;
  bool is_conllu;
};
/// Takes lines until one tells if the text is CoNLL-U.
///
/// Comments that only treebanks have are held until a word comes. Other comments may be text ("#1
/// is the best"), and their answer must not wait: they are held only while `is_ready` says that
/// another line comes at once.
Beginning beginning_of(text::Lines& lines, const std::function<bool()>& is_ready);

/// True for a line that begins with a word's number ("3", "3-4", "8.1") and a tab.
bool has_word_number(std::string_view line);
/// Number of columns that tabs divide a line into.
size_t columns_of(std::string_view line);

}  // namespace normlab::parse
