#include <atomic>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <thread>

#include "catch.h"
#include "child_process.h"
#include "cpu/contention.h"
#include "cpu/parallel.h"
#include "cpu/quota.h"
#include "threads.h"

using namespace normlab;
using namespace normlab::test;
using std::chrono::milliseconds;

namespace {

constexpr int64_t kCostly = kParallelGrain;  ///< worth a thread of its own

/// Whether a loop of n calls its body once for each i.
bool visits_each_once(int64_t n, int64_t cost) {
  std::vector<std::atomic<int>> visits(n);
  parallel_for(n, cost, [&](int64_t i) { ++visits[i]; });
  return std::all_of(visits.begin(), visits.end(), [](const auto& count) { return count == 1; });
}

/// A folder in the form of a system's root.
class Root {
 public:
  Root() { std::filesystem::create_directories(path_); }
  ~Root() { std::filesystem::remove_all(path_); }
  Root(const Root&) = delete;
  Root& operator=(const Root&) = delete;
  void write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name) << text;
  }
  double quota() const { return cpu_quota(path_); }

 private:
  std::filesystem::path path_ =
      std::filesystem::temp_directory_path() / ("normlab-root-" + std::to_string(::getpid()));
};

Contention::Clock::time_point at(int ms) {
  return Contention::Clock::time_point(std::chrono::hours(1)) + milliseconds(ms);
}

}  // namespace

TEST_CASE("a loop visits each index once, for any number of threads", "[threads]") {
  for (const int threads : {1, 2, 3, 7, 40}) {
    const Threads set(threads);
    for (const int64_t n : {0, 1, 2, 3, 5, 64, 1000, 10007})
      for (const int64_t cost : {int64_t{0}, int64_t{1}, int64_t{100}, kCostly}) {
        CAPTURE(threads, n, cost);
        CHECK(visits_each_once(n, cost));
      }
  }
}

TEST_CASE("more threads than there can be workers do the work of those that there are",
          "[threads]") {
  const Threads set(100'000);
  CHECK(visits_each_once(3000, kCostly));
}

TEST_CASE("a loop within a loop runs", "[threads]") {
  const Threads set(3);
  std::atomic<int> visits{0};
  parallel_for(10, kCostly,
               [&](int64_t) { parallel_for(10, kCostly, [&](int64_t) { ++visits; }); });
  CHECK(visits == 100);
}

TEST_CASE("many loops after each other come to their ends", "[threads]") {
  const Threads set(4);
  int64_t sum = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::atomic<int64_t> part{0};
    parallel_for(4, kCostly, [&](int64_t i) { part += i; });
    sum += part;
  }
  CHECK(sum == 20'000 * 6);
}

TEST_CASE("threads that sleep wake for the next loop", "[threads]") {
  const Threads set(3);
  for (int round = 0; round < 20; ++round) {
    CHECK(visits_each_once(50, kCostly));
    std::this_thread::sleep_for(milliseconds(2));
  }
}

TEST_CASE("threads of the program have loops at once", "[threads]") {
  const Threads set(3);
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 5; ++t)
    threads.emplace_back([&] {
      for (int round = 0; round < 200; ++round) right += visits_each_once(30, kCostly);
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(right == 1000);
}

TEST_CASE("a thread that never comes is not waited for", "[threads]") {
  // Both workers stay in a loop of another thread until this thread's loop is over.
  const Threads set(3);
  std::atomic<int> inside{0};
  std::atomic<bool> over{false};
  std::thread other([&] {
    parallel_for(3, kCostly, [&](int64_t) {
      ++inside;
      while (!over) std::this_thread::yield();
    });
  });
  while (inside == 0) std::this_thread::yield();
  CHECK(visits_each_once(100, kCostly));
  over = true;
  other.join();
  CHECK(inside == 3);
}

TEST_CASE("loops get fewer threads while threads are late, and all of them later",
          "[threads][contention]") {
  Contention contention;
  CHECK(contention.allowed(4, at(0)) == 4);
  contention.report(4, 1, at(0));  // happens on an idle machine, too
  CHECK(contention.allowed(4, at(1)) == 4);
  contention.report(4, 1, at(2));
  CHECK(contention.allowed(4, at(3)) == 3);
  CHECK(contention.allowed(2, at(3)) == 2);
  CHECK(contention.allowed(4, at(300)) == 4);
}

TEST_CASE("late threads that are far apart change nothing", "[threads][contention]") {
  Contention contention;
  for (int time = 0; time < 5000; time += 500) {
    contention.report(2, 1, at(time));
    CHECK(contention.allowed(2, at(time + 1)) == 2);
  }
}

TEST_CASE("attempts that end with late threads become rare", "[threads][contention]") {
  Contention contention;
  int attempts = 0;
  contention.report(2, 1, at(0));
  for (int time = 1; time < 10'000; ++time)
    if (contention.allowed(2, at(time)) == 2) {
      contention.report(2, 1, at(time));
      ++attempts;
    }
  CHECK(attempts >= 10'000 / 320);  // it is noticed when the machine is free again
  CHECK(attempts < 60);
  CHECK(contention.allowed(2, at(10'400)) == 2);
}

TEST_CASE("what was noticed can be forgotten", "[threads][contention]") {
  Contention contention;
  contention.report(2, 1, at(0));
  contention.report(2, 1, at(1));
  contention.forget();
  CHECK(contention.allowed(2, at(2)) == 2);
}

TEST_CASE("at least one thread is left", "[threads][contention]") {
  Contention contention;
  contention.report(2, 5, at(0));
  contention.report(2, 5, at(1));
  CHECK(contention.allowed(2, at(2)) == 1);
}

TEST_CASE("the number of threads says where it comes from", "[threads]") {
  const Threads set(num_threads() + 1);
  CHECK(num_threads_reason() == "set_num_threads");
  set_num_threads(set.before);
  CHECK_FALSE(num_threads_reason().empty());
}

TEST_CASE("a quota of processors is the least of all groups around the process",
          "[threads][quota]") {
  const Root root;
  CHECK(std::isinf(root.quota()));
  root.write("proc/self/cgroup", "0::/a/b\n");
  CHECK(std::isinf(root.quota()));
  root.write("sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
  CHECK(std::isinf(root.quota()));
  root.write("sys/fs/cgroup/a/cpu.max", "150000 100000\n");
  CHECK(root.quota() == 1.5);
  root.write("sys/fs/cgroup/a/b/cpu.max", "20000 50000\n");
  CHECK(root.quota() == 0.4);
}

TEST_CASE("a container's own group is the top of what it sees", "[threads][quota]") {
  const Root root;
  root.write("proc/self/cgroup", "0::/docker/0123\n");
  root.write("sys/fs/cgroup/cpu.max", "250000 100000\n");
  CHECK(root.quota() == 2.5);
}

TEST_CASE("control groups of version 1 have quotas, too", "[threads][quota]") {
  const Root root;
  root.write("proc/self/cgroup", "12:cpuset:/x\n4:cpu,cpuacct:/job\n1:name=systemd:/\n");
  root.write("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "-1\n");
  root.write("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");
  CHECK(std::isinf(root.quota()));
  root.write("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "300000\n");
  CHECK(root.quota() == 3.0);
}

TEST_CASE("files of control groups that cannot be read are no quota", "[threads][quota]") {
  const Root root;
  root.write("proc/self/cgroup", "nonsense\n:\n0::\n0::/a\n");
  for (const char* text : {"", "x y\n", "100000\n", "100000 0\n", "-5 100000\n", "1e999 1\n"}) {
    root.write("sys/fs/cgroup/a/cpu.max", text);
    CAPTURE(text);
    CHECK(std::isinf(root.quota()));
  }
}
