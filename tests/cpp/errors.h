#pragma once

#include <string>

#include "normlab/error.h"

namespace normlab::test {

/// What E says when body throws it; "" if it throws nothing. Other exceptions pass through.
template <class E, class Body>
std::string error_of(const Body& body) {
  try {
    body();
  } catch (const E& error) {
    return error.what();
  }
  return "";
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace normlab::test
