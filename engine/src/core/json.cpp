#include "core/json.h"

#include <algorithm>

namespace normlab {
void append_utf8(std::string& out, uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
    return;
  }
  const int tail = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  const uint32_t mark = tail == 1 ? 0xC0 : tail == 2 ? 0xE0 : 0xF0;
  out += static_cast<char>(mark | code >> (6 * tail));
  for (int i = tail - 1; i >= 0; --i) out += static_cast<char>(0x80 | (code >> (6 * i) & 0x3F));
}

void JsonReader::fail(const char* expected) const {
  normlab::fail<JsonError>("JSON", "expected ", expected, " at byte ", at_);
}

void JsonReader::skip_space() {
  at_ = std::min(text_.find_first_not_of(" \t\r\n", at_), text_.size());
}

bool JsonReader::accept(char c) {
  skip_space();
  if (at_ >= text_.size() || text_[at_] != c) return false;
  ++at_;
  return true;
}

void JsonReader::expect(char c) {
  const char expected[] = {'\'', c, '\'', '\0'};
  if (!accept(c)) fail(expected);
}

void JsonReader::end() {
  skip_space();
  if (at_ != text_.size()) fail("the end");
}

int64_t JsonReader::count() {
  skip_space();
  const auto digit = [&] { return at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; };
  if (!digit()) fail("a non-negative integer");
  const size_t first = at_;
  int64_t n = 0;
  for (; digit(); ++at_)
    if (__builtin_mul_overflow(n, int64_t{10}, &n) ||
        __builtin_add_overflow(n, int64_t{text_[at_] - '0'}, &n))
      fail("an integer below 2^63");
  if (text_[first] == '0' && at_ > first + 1) fail("an integer without leading zeros");
  if (at_ < text_.size() && std::string_view(".eE").find(text_[at_]) != std::string_view::npos)
    fail("an integer without fraction or exponent");
  return n;
}

std::string JsonReader::string() {
  expect('"');
  std::string out;
  while (true) {
    if (at_ >= text_.size()) fail("'\"'");
    const unsigned char c = static_cast<unsigned char>(text_[at_]);
    if (c == '"') break;
    if (c < 0x20) fail("no bare control character");
    if (c == '\\') {
      escape(out);
      continue;
    }
    const size_t length = utf8_length(text_, at_);
    if (length == 0) fail("valid UTF-8");
    out.append(text_, at_, length);
    at_ += length;
  }
  ++at_;
  return out;
}

void JsonReader::escape(std::string& out) {
  constexpr std::string_view kNames = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
  ++at_;
  const char name = at_ < text_.size() ? text_[at_] : '\0';
  if (const size_t i = kNames.find(name); i != std::string_view::npos) {
    out += kMeanings[i];
    ++at_;
    return;
  }
  if (name != 'u') fail("an escape that JSON knows");
  ++at_;
  uint32_t code = hex4();
  if (code >= 0xD800 && code < 0xDC00 && text_.substr(at_, 2) == "\\u") {
    at_ += 2;
    const uint32_t low = hex4();
    if (low < 0xDC00 || low > 0xDFFF) fail("the second half of a surrogate pair");
    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
  }
  if (code >= 0xD800 && code <= 0xDFFF) fail("a whole surrogate pair");
  append_utf8(out, code);
}

uint32_t JsonReader::hex4() {
  uint32_t code = 0;
  for (int i = 0; i < 4; ++i, ++at_) {
    const char c = at_ < text_.size() ? text_[at_] : '\0';
    if (c >= '0' && c <= '9')
      code = code << 4 | static_cast<uint32_t>(c - '0');
    else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
      code = code << 4 | static_cast<uint32_t>((c | 0x20) - 'a' + 10);
    else
      fail("four hexadecimal digits");
  }
  return code;
}

std::string json_quoted(std::string_view text) {
  constexpr std::string_view kMeanings = "\"\\\b\f\n\r\t", kNames = "\"\\bfnrt";
  constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    if (const size_t i = kMeanings.find(c); i != std::string_view::npos)
      (out += '\\') += kNames[i];
    else if (static_cast<unsigned char>(c) < 0x20)
      ((out += "\\u00") += kHex[c >> 4]) += kHex[c & 15];
    else
      out += c;
  }
  return out += '"';
}

std::string json_excerpt(std::string_view text, size_t most) {
  std::string kept;
  size_t at = 0;
  while (at < text.size() && at < most) {
    const size_t length = utf8_length(text, at);
    if (length == 0)
      kept += '?';
    else
      kept.append(text, at, length);
    at += length == 0 ? 1 : length;
  }
  return json_quoted(kept) + (at < text.size() ? "..." : "");
}

size_t utf8_length(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) -> unsigned {
    return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0;
  };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first < 0xC2   ? 0
                        : first < 0xE0 ? 2
                        : first < 0xF0 ? 3
                        : first < 0xF5 ? 4
                                       : 0;
  for (size_t i = 1; i < length; ++i)
    if (byte(i) < 0x80 || byte(i) > 0xBF) return 0;
  if (first == 0xE0 && byte(1) < 0xA0) return 0;
  if (first == 0xED && byte(1) > 0x9F) return 0;
  if (first == 0xF0 && byte(1) < 0x90) return 0;
  if (first == 0xF4 && byte(1) > 0x8F) return 0;
  return length;
}

bool is_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const size_t length = utf8_length(text, at);
    if (length == 0) return false;
    at += length;
  }
  return true;
}

}  // namespace normlab
