#pragma once

#include <string>

namespace normlab {

/// Number of CPU threads that the engine's loops use at most, for the whole process; results do not
/// depend on it. The loops use fewer while other work holds the processors. The default is
/// OMP_NUM_THREADS, else the processors that the process may use, by its affinity and the quota of
/// its control group, and at most OMP_THREAD_LIMIT. ArgumentError unless n >= 1. A child of fork()
/// starts with 1 where its parent has had several at work; a call gives it threads of its own.
void set_num_threads(int n);
int num_threads();
/// Where the number comes from: "2 processors for this process", "set_num_threads", ...
std::string num_threads_reason();

}  // namespace normlab
