#pragma once

#include <concepts>
#include <cstdint>
#include <iosfwd>
#include <limits>

#include "normlab/error.h"

namespace normlab {

/// A number that stands beside a tensor. A whole number stays exact, as int64, whatever its C++
/// type; a floating one is a double. ArgumentError for an unsigned number of 2^63 or more.
class Scalar {
 public:
  template <std::integral T>
  Scalar(T value) : integer_(static_cast<int64_t>(value)), whole_(true) {
    if constexpr (std::unsigned_integral<T> && sizeof(T) == sizeof(int64_t))
      check<ArgumentError>(value <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max()),
                           "scalar", "must be less than 2^63, got ", value);
  }
  Scalar(double value) : real_(value) {}
  Scalar(float value) : real_(static_cast<double>(value)) {}

  bool is_integer() const { return whole_; }
  /// The number, if is_integer().
  int64_t integer() const { return integer_; }
  /// The number, rounded to a double.
  double real() const { return whole_ ? static_cast<double>(integer_) : real_; }

 private:
  int64_t integer_ = 0;
  double real_ = 0;
  bool whole_ = false;
};
std::ostream& operator<<(std::ostream& out, const Scalar& number);

}  // namespace normlab
