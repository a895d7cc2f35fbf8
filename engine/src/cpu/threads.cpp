#include <omp.h>

#include <atomic>

#include "normlab/error.h"
#include "normlab/threads.h"

namespace normlab {
namespace {

std::atomic<int>& thread_count() {
  static std::atomic<int> count{omp_get_max_threads()};
  return count;
}

}  // namespace

void set_num_threads(int n) {
  check<ArgumentError>(n >= 1, "set_num_threads", "n must be at least 1, got ", n);
  thread_count() = n;
}

int num_threads() {
  return thread_count();
}

}  // namespace normlab
