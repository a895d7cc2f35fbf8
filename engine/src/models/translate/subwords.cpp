#include "normlab/subwords.h"

#include <algorithm>

#include "core/json.h"
#include "models/text/characters.h"
#include "models/translate/merge.h"

namespace normlab::translate {
namespace {

constexpr std::string_view kSpace = "\u2581", kReplacement = "\uFFFD";

/// Valid UTF-8 with every space as kSpace: one before the text, none at its ends, no two in a row.
std::string normalized(std::string_view text) {
  std::string out;
  bool after_space = true;  // those at the begin are dropped
  for (size_t at = 0; at < text.size();) {
    if (text[at] == ' ') {
      if (!after_space) out += kSpace;
      after_space = true;
      ++at;
      continue;
    }
    if (out.empty()) out = kSpace;
    const size_t length = utf8_length(text, at);
    out += length > 0 ? text.substr(at, length) : kReplacement;
    at += length > 0 ? length : 1;
    after_space = false;
  }
  while (out.ends_with(kSpace)) out.resize(out.size() - kSpace.size());
  return out;
}

bool is_piece(std::string_view piece) {
  return !piece.empty() && is_utf8(piece) && piece.find('\n') == std::string_view::npos;
}

}  // namespace

std::string lower_case(std::string_view text) {
  std::string small;
  for (size_t at = 0, length = 0; at < text.size(); at += std::max<size_t>(length, 1)) {
    length = utf8_length(text, at);
    if (length > 0)
      append_utf8(small, text::lower(text::code_point(text.substr(at, length))));
    else
      small += kReplacement;
  }
  return small;
}

Subwords::Subwords(std::vector<std::string> pieces) : pieces_{"<unk>", "<s>", "</s>"} {
  for (std::string& piece : pieces) {
    check<ArgumentError>(is_piece(piece), "Subwords", "piece ", size(),
                         " must be a part of a line of UTF-8, got ", json_excerpt(piece));
    check<ArgumentError>(piece != pieces_[0] && piece != pieces_[1] && piece != pieces_[2],
                         "Subwords", "piece ", size(), " must not be a mark, got ", piece);
    const auto [place, fresh] = numbers_.emplace(piece, size());
    check<ArgumentError>(fresh, "Subwords", "each piece must come once, ", json_excerpt(piece),
                         " is number ", place->second, " and ", size());
    pieces_.push_back(std::move(piece));
  }
}

int64_t Subwords::number(std::string_view piece) const {
  const auto place = numbers_.find(piece);
  return place == numbers_.end() ? kUnknown : place->second;
}

const std::string& Subwords::piece(int64_t number) const {
  check<RangeError>(0 <= number && number < size(), "Subwords", "number must be in [0, ", size(),
                    "), got ", number);
  return pieces_[static_cast<size_t>(number)];
}

std::vector<std::string> Subwords::split(std::string_view text) const {
  const std::string line = normalized(text);
  std::vector<std::string> pieces;
  bool after_unknown = false;
  for (const std::string_view part : merged(line, [this](std::string_view piece) {
         const int64_t found = number(piece);
         return found == kUnknown ? -1 : found;
       })) {
    const bool unknown = number(part) == kUnknown;
    if (unknown && after_unknown)
      pieces.back() += part;
    else
      pieces.emplace_back(part);
    after_unknown = unknown;
  }
  return pieces;
}

std::vector<int64_t> Subwords::encode(std::string_view text) const {
  std::vector<int64_t> numbers;
  for (const std::string& piece : split(text)) numbers.push_back(number(piece));
  return numbers;
}

std::string Subwords::decode(const std::vector<int64_t>& numbers) const {
  std::string text;
  for (const int64_t number : numbers) {
    std::string_view rest = piece(number);
    if (number == kUnknown) text += kUnknownText;
    if (number < kFirst) continue;
    if (text.empty() && rest.starts_with(kSpace)) rest.remove_prefix(kSpace.size());
    for (size_t at = 0; at < rest.size();) {
      const size_t space = std::min(rest.find(kSpace, at), rest.size());
      text += rest.substr(at, space - at);
      if (space < rest.size()) text += ' ';
      at = space + kSpace.size();
    }
  }
  return text;
}

}  // namespace normlab::translate
