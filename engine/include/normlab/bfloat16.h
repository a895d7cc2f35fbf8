#pragma once

#include <bit>
#include <cstdint>

namespace normlab {

/// The upper half of a float: its range with 8 bits of precision. A storage type: it has
/// conversions only, and computations take place in float.
struct bfloat16 {
  uint16_t bits;

  bfloat16() = default;
  /// Rounds to nearest, ties to even; NaN stays NaN.
  constexpr explicit bfloat16(float value) {
    const auto word = std::bit_cast<uint32_t>(value);
    const bool nan = (word & 0x7fffffff) > 0x7f800000;
    bits = static_cast<uint16_t>(nan ? (word >> 16) | 0x40
                                     : (word + 0x7fff + ((word >> 16) & 1)) >> 16);
  }
  constexpr explicit operator float() const { return std::bit_cast<float>(uint32_t{bits} << 16); }
  constexpr bool operator==(const bfloat16&) const = default;
};

}  // namespace normlab
