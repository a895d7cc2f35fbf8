#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cmath>
#include <cstdlib>

#include "cpu/quota.h"
#include "normlab/error.h"
#include "normlab/threads.h"

namespace normlab {
namespace {

struct Choice {
  int threads;
  std::string reason;
};

/// OpenMP's number follows OMP_NUM_THREADS, else the processors that this process may run on.
Choice first_choice() {
  const char* variable = std::getenv("OMP_NUM_THREADS");
  const int limit = omp_get_thread_limit();
  if (variable && std::isdigit(static_cast<unsigned char>(*variable)))  // else OpenMP warns
    return {std::min(omp_get_max_threads(), limit), std::string("OMP_NUM_THREADS=") + variable};
  const int processors = omp_get_num_procs();
  const std::string all = std::to_string(processors) +
                          (processors == 1 ? " processor" : " processors") + " for this process";
  Choice choice{processors, all};
  if (const double quota = cpu_quota(); quota < processors)
    choice = {std::max(1, static_cast<int>(std::ceil(quota))),
              "a quota of " + std::to_string(quota).substr(0, 4) + " processors, of " + all};
  if (limit < choice.threads) choice = {limit, "OMP_THREAD_LIMIT=" + std::to_string(limit)};
  return choice;
}

const Choice& default_choice() {
  static const Choice choice = first_choice();
  return choice;
}

std::atomic<int>& thread_count() {
  static std::atomic<int> count{default_choice().threads};
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

std::string num_threads_reason() {
  const Choice& choice = default_choice();
  return num_threads() == choice.threads ? choice.reason : "set_num_threads";
}

}  // namespace normlab
