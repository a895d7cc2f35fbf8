#pragma once

#include <cmath>
#include <type_traits>

#include "normlab/bfloat16.h"
#include "normlab/scalar.h"

namespace normlab {

template <class T>
inline constexpr bool is_real = std::is_floating_point_v<T> || std::is_same_v<T, bfloat16>;

/// Whether v, rounded towards zero, lies in the range of the integer type T; NaN does not.
template <class T>
bool in_range_of(double v) {
  const double whole = std::trunc(v);
  return whole >= static_cast<double>(std::numeric_limits<T>::lowest()) &&
         whole < std::ldexp(1.0, std::numeric_limits<T>::digits);
}
template <class T>
bool in_range_of(int64_t v) {
  return v >= static_cast<int64_t>(std::numeric_limits<T>::lowest()) &&
         v <= static_cast<int64_t>(std::numeric_limits<T>::max());
}

/// Whether an element of type T can be the number: floating types round it, integers must hold it
/// exactly, bool takes 0 and 1.
template <class T>
bool holds(const Scalar& number) {
  if constexpr (is_real<T>)
    return true;
  else if (number.is_integer())
    return in_range_of<T>(number.integer());
  else
    return number.real() == std::trunc(number.real()) && in_range_of<T>(number.real());
}

/// The number as an element of type T. One that int64 but not T holds wraps around.
template <class T>
T element_of(const Scalar& number) {
  if constexpr (std::is_same_v<T, bfloat16>)
    return bfloat16(static_cast<float>(number.real()));
  else if constexpr (is_real<T>)
    return number.is_integer() ? static_cast<T>(number.integer()) : static_cast<T>(number.real());
  else
    return static_cast<T>(number.is_integer() ? number.integer()
                                              : static_cast<int64_t>(number.real()));
}

}  // namespace normlab
