#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace normlab {

/// Base of every exception that the engine throws. The text reads
/// "op: what must hold, what came, where it came from".
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// An argument whose value is not allowed. Also a ValueError in Python.
struct ArgumentError : Error {
  using Error::Error;
};
/// Shapes that do not fit the op or each other. Also a ValueError in Python.
struct ShapeError : ArgumentError {
  using ArgumentError::ArgumentError;
};
/// A device that is absent, or operands on different devices. Also a ValueError in Python.
struct DeviceError : ArgumentError {
  using ArgumentError::ArgumentError;
};
/// Misuse of autograd: freed tape, non-scalar without gradient, op without derivative.
/// Also a ValueError in Python.
struct GradError : ArgumentError {
  using ArgumentError::ArgumentError;
};
/// An element type that the op does not take. Also a TypeError in Python.
struct DtypeError : Error {
  using Error::Error;
};
/// An index outside its range. Also an IndexError in Python.
struct RangeError : Error {
  using Error::Error;
};
/// A file that cannot be read, written or trusted. Also an OSError in Python.
struct FileError : Error {
  using Error::Error;
};
/// The system has no memory of that size left. Also a MemoryError in Python.
struct OutOfMemoryError : Error {
  using Error::Error;
};

/// Throws E{"op: parts..."}. Say what must hold, then what came.
template <class E = ShapeError, class... Parts>
[[noreturn]] void fail(const char* op, const Parts&... parts) {
  std::ostringstream message;
  message << op << ": ";
  (message << ... << parts);
  throw E(message.str());
}

/// Throws as fail() does unless ok.
template <class E = ShapeError, class... Parts>
void check(bool ok, const char* op, const Parts&... parts) {
  if (!ok) [[unlikely]]
    fail<E>(op, parts...);
}

}  // namespace normlab
