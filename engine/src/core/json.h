#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "normlab/error.h"

namespace normlab {

/// Text that is not the JSON that was asked for: what was expected, and at which byte.
struct JsonError : Error {
  using Error::Error;
};

/// Reads JSON (RFC 8259) strictly, value by value. The caller asks for what it expects, so foreign
/// text decides neither what is stored nor how deep the reader nests.
class JsonReader {
 public:
  explicit JsonReader(std::string_view text) : text_(text) {}

  /// Calls member(key) for each member of an object; it must read the value. A key that comes
  /// twice is an error.
  template <class Member>
  void object(const Member& member) {
    std::set<std::string> seen;
    expect('{');
    if (accept('}')) return;
    do {
      const auto [key, fresh] = seen.insert(string());
      if (!fresh) fail("each key once, got it again");
      expect(':');
      member(*key);
    } while (accept(','));
    expect('}');
  }
  /// Calls element() for each element of an array; it must read the value.
  template <class Element>
  void array(const Element& element) {
    expect('[');
    if (accept(']')) return;
    do element();
    while (accept(','));
    expect(']');
  }
  /// A string in valid UTF-8, escapes resolved.
  std::string string();
  /// An integer in [0, 2^63).
  int64_t count();
  /// Nothing but white space may be left.
  void end();

 private:
  void skip_space();
  bool accept(char c);
  void expect(char c);
  void escape(std::string& out);
  uint32_t hex4();
  [[noreturn]] void fail(const char* expected) const;

  std::string_view text_;
  size_t at_ = 0;
};

/// The text as a JSON string, as serde_json writes it. It must be UTF-8.
std::string json_quoted(std::string_view text);
/// Quoted for an error message, whatever its bytes; shortened after `most` of them.
std::string json_excerpt(std::string_view text, size_t most = 80);
bool is_utf8(std::string_view text);
/// Appends the code point, below 0x110000, as UTF-8.
void append_utf8(std::string& out, uint32_t code);
/// Bytes of the UTF-8 character at text[at], 0 if it is not valid (overlong, surrogate, cut off).
size_t utf8_length(std::string_view text, size_t at);

}  // namespace normlab
