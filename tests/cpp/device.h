#pragma once

#include <string>

#include "catch.h"
#include "normlab/cuda.h"

namespace normlab::test {

/// Whether there is a device to compare with; says once a test case where there is none.
inline bool has_device() {
  if (cuda::is_available()) return true;
  static std::string last;
  const std::string now(Catch::getResultCapture().getCurrentTestName());
  if (last != now) WARN("skipped: no device (" << cuda::why_not() << ")");
  last = now;
  return false;
}

}  // namespace normlab::test
