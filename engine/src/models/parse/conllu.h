#pragma once

#include <array>
#include <string>
#include <string_view>

namespace normlab::parse {

inline constexpr size_t kColumns = 10;
using Columns = std::array<std::string_view, kColumns>;

/// The reason why a line cannot be one of CoNLL-U, "" if it can.
std::string text_fault(std::string_view line);
/// Cuts at tabs: keeps the first ten columns and counts all.
size_t split(std::string_view line, Columns& columns);
/// True for a text of white space only. It must be UTF-8.
bool is_blank(std::string_view text);

}  // namespace normlab::parse
