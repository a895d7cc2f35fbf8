#pragma once

namespace normlab {

/// Number of CPU threads that the engine's loops use, for the whole process; results do not
/// depend on it. ArgumentError unless n >= 1. A child of fork() starts with 1 where its parent has
/// had several at work; a call gives it threads of its own.
void set_num_threads(int n);
int num_threads();

}  // namespace normlab
