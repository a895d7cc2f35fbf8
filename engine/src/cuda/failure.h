#pragma once

namespace normlab::cuda {

/// Null, or why a call failed: text that stays until the thread's next call.
using Failure = const char*;

}  // namespace normlab::cuda
