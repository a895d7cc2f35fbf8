#pragma once

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

namespace normlab::text {

// Characters beyond ASCII, by what the rules of tokens_of() ask of them.
inline constexpr char kLetter = '\x80', kMark = '\x81', kSymbol = '\x82';
inline constexpr char kModifier = '\x83';  ///< changes the character before it
inline constexpr char kGlue = '\x84';      ///< joins the characters on both sides
inline constexpr char kFlag = '\x85';      ///< half of a country's flag

/// A line, one byte a character: small letters, digits and marks of ASCII, apostrophes as ',
/// quotation marks as ", white space as one blank, else a kind above.
struct Shapes {
  std::string text;
  std::string_view line;
  std::vector<size_t> from;  ///< where each begins in the line, and the line's end

  bool is_capital(size_t at) const;
};
/// ArgumentError as character_length() has it.
Shapes shapes_of(std::string_view line);

/// Ends of words that are words of their own.
inline constexpr std::string_view kClitics[] = {"n't", "'s", "'re", "'ve", "'ll", "'d", "'m"};

/// True if the list has the word.
template <class List>
bool has(const List& list, std::string_view word) {
  return std::ranges::find(list, word) != std::end(list);
}

inline bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
inline bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || c == kLetter;
}
inline bool is_alnum(char c) {
  return is_letter(c) || is_digit(c);
}

}  // namespace normlab::text
