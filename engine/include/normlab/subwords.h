#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "normlab/tensor.h"

/// From lines of one language to lines of another: subwords, the Transformer, beam search.
namespace normlab::translate {

/// The text with small letters for capitals of the Latin, Greek, Cyrillic and Armenian alphabets
/// that take as many bytes. All other characters are as they were, bytes that are not UTF-8 U+FFFD
/// each.
std::string lower_case(std::string_view text);

/// A byte-pair encoding (Sennrich et al. 2016) as SentencePiece applies it (Kudo and Richardson
/// 2018), piece for piece, with its normalisation `identity`: no character is changed, so text
/// comes back as it went in, but for spaces. Spaces are part of the pieces, written as U+2581: one
/// stands before the first word, runs count as one, those at the ends are dropped. Bytes that are
/// not UTF-8 become U+FFFD each. A run of characters that are in no piece is one unknown piece.
class Subwords {
 public:
  static constexpr int64_t kUnknown = 0, kBegin = 1, kEnd = 2;
  /// What decode() writes for an unknown piece.
  static constexpr std::string_view kUnknownText = " \u2047 ";

  Subwords() : Subwords(std::vector<std::string>{}) {}
  /// `pieces` in order of their numbers 3, 4, ... Those that come first are joined first.
  /// ArgumentError for one that is empty, is not UTF-8, has a line's end, or comes twice.
  explicit Subwords(std::vector<std::string> pieces);

  /// Number of pieces with the unknown one and the marks of a sentence's begin and end.
  int64_t size() const { return static_cast<int64_t>(pieces_.size()); }
  /// kUnknown if it is not there.
  int64_t number(std::string_view piece) const;
  /// "<unk>", "<s>" and "</s>" for 0, 1 and 2. RangeError outside.
  const std::string& piece(int64_t number) const;
  /// All but the first three, in order.
  std::vector<std::string> pieces() const { return {pieces_.begin() + kFirst, pieces_.end()}; }

  /// The pieces of a text; an unknown one is as in the text. n log n for n bytes.
  std::vector<std::string> split(std::string_view text) const;
  /// Their numbers, without the marks.
  std::vector<int64_t> encode(std::string_view text) const;
  /// The text of these numbers; marks are passed over. RangeError for a number outside.
  std::string decode(const std::vector<int64_t>& numbers) const;

 private:
  static constexpr int64_t kFirst = 3;
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  std::vector<std::string> pieces_;
  std::unordered_map<std::string, int64_t, Hash, std::equal_to<>> numbers_;
};

}  // namespace normlab::translate
