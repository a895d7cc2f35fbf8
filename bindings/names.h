#pragma once

// Enumerations of the engine that Python names by text.

#include <array>

#include "casters.h"

namespace normlab::bindings {

/// The enumerator whose name is at its place in the list.
template <class Enum, size_t N>
Enum named(const char* what, const std::string& name, const std::array<const char*, N>& names) {
  std::string all;
  for (size_t i = 0; i < N; ++i) {
    if (name == names[i]) return static_cast<Enum>(i);
    all += (i > 0 ? ", " : "") + ("'" + std::string(names[i]) + "'");
  }
  fail<ArgumentError>(what, "must be one of ", all, ", got '", name, "'");
}

/// The name of an enumerator, at its place in the list.
template <class Enum, size_t N>
const char* name_in(const std::array<const char*, N>& names, Enum value) {
  return names[static_cast<size_t>(value)];
}

}  // namespace normlab::bindings
