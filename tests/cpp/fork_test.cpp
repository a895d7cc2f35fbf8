#include <atomic>
#include <filesystem>
#include <thread>

#include "catch.h"
#include "child_process.h"
#include "cpu/fork.h"
#include "device.h"
#include "kernel_checks.h"
#include "threads.h"

using namespace normlab;
using namespace normlab::test;

namespace {

/// What a training step uses: loops, products, convolutions, sums, random numbers, memory. `seed`
/// also gives the shapes, so that oneDNN has something to prepare.
std::vector<double> compute(uint64_t seed = 0) {
  manual_seed(seed);
  const int64_t n = static_cast<int64_t>(30 + seed % 50);
  Tensor x = randn({200, n}), w = randn({n, 300});
  w.set_requires_grad();
  const Tensor h = relu(matmul(x, w));
  const Tensor image = randn({9, 3, n, 20});
  const Tensor z = conv2d(image, randn({8, 3, 3, 3}), {}, {2, 1, 1, 1});
  const Tensor loss = mean(h) + mean(normalize(z, norm_variant("layernorm_simple")) * z) +
                      cross_entropy(h, Tensor::zeros({200}, DType::int64));
  loss.backward();
  return joined({loss, sum(h, {0}), w.grad(), exp(x * 0.1)});
}

/// Another thread that computes without a pause, new shapes all the time.
class Busy {
 public:
  Busy() : thread_([this] { run(); }) {
    while (rounds_ < 1) std::this_thread::yield();
  }
  ~Busy() {
    stop_ = true;
    thread_.join();
  }

 private:
  void run() {
    for (uint64_t i = 0; !stop_; ++i) {
      compute(i);
      ++rounds_;
    }
  }
  std::atomic<bool> stop_{false};
  std::atomic<int> rounds_{0};
  std::thread thread_;
};

}  // namespace

TEST_CASE("a child of fork computes, after its parent has used all threads", "[fork]") {
  const Threads threads(4);
  const std::vector<double> want = compute();
  CHECK(run_in_child([&] { return num_threads() == 1 && compute() == want; }) == ChildEnd::right);
  CHECK(num_threads() == 4);
  CHECK(compute() == want);
}

TEST_CASE("a child of fork gets threads of its own, with the same results", "[fork]") {
  const Threads threads(3);
  const std::vector<double> want = compute();
  CHECK(run_in_child([&] {
          set_num_threads(3);
          return compute() == want && compute() == want;
        }) == ChildEnd::right);
}

TEST_CASE("in a child of fork several threads do the work", "[fork]") {
  const Threads threads(2);
  compute();
  CHECK(run_in_child([&] {
          const auto threads_now = [] {
            const std::filesystem::directory_iterator tasks("/proc/self/task");
            return std::distance(begin(tasks), end(tasks));
          };
          const bool alone = threads_now() == 1;
          set_num_threads(2);
          compute();
          return alone && threads_now() == 2;
        }) == ChildEnd::right);
}

TEST_CASE("new threads of a child compute, too", "[fork]") {
  const Threads threads(3);
  const std::vector<double> want = compute();
  CHECK(run_in_child([&] {
          set_num_threads(2);
          std::vector<double> got[2];
          std::thread first([&] { got[0] = compute(); }), second([&] { got[1] = compute(); });
          const bool mine = compute() == want;
          first.join();
          second.join();
          return mine && got[0] == want && got[1] == want;
        }) == ChildEnd::right);
}

TEST_CASE("a child's child computes", "[fork]") {
  const Threads threads(3);
  const std::vector<double> want = compute();
  CHECK(run_in_child([&] {
          set_num_threads(3);
          if (compute() != want) return false;
          const ChildEnd inner = run_in_child([&] {
            if (num_threads() != 1 || compute() != want) return false;
            set_num_threads(2);
            return compute() == want;
          });
          return inner == ChildEnd::right && compute() == want;
        }) == ChildEnd::right);
}

TEST_CASE("a fork while other threads compute leaves nothing locked", "[fork]") {
  const Threads threads(2);
  const std::vector<double> want = compute();
  const Busy first, second;
  for (int i = 0; i < 40; ++i) {
    CAPTURE(i);
    const ChildEnd end = run_in_child([&] {
      // A shape that nobody has prepared, then one that somebody has.
      return !compute(1000 + static_cast<uint64_t>(i) * 7).empty() && compute() == want;
    });
    CHECK(end == ChildEnd::right);
    if (end != ChildEnd::right) break;
  }
}

TEST_CASE("forks of several threads at once wait for each other", "[fork]") {
  const Threads threads(2);
  const std::vector<double> want = compute();
  std::atomic<int> right{0};
  std::vector<std::thread> forking;
  for (int t = 0; t < 3; ++t)
    forking.emplace_back([&] {
      for (int i = 0; i < 5; ++i)
        right += run_in_child([&] { return compute() == want; }) == ChildEnd::right;
    });
  for (std::thread& thread : forking) thread.join();
  CHECK(right == 15);
}

TEST_CASE("a fork within what it waits for does not wait for itself", "[fork]") {
  const InOneDnn outer;
  const InOneDnn inner;
  CHECK(run_in_child([] { return compute().size() > 0; }) == ChildEnd::right);
  CHECK(run_in_child([] {
          return run_in_child([] { return compute().size() > 0; }) == ChildEnd::right;
        }) == ChildEnd::right);
}

TEST_CASE("a child of fork has no GPU if its parent had one", "[fork][cuda]") {
  if (!test::has_device()) return;
  const Tensor x = Tensor::ones({4}, DType::float32, Device::cuda);
  CHECK(x.to_vector() == std::vector<double>(4, 1.0));
  CHECK(run_in_child([&] {
          const std::string said = error_of<DeviceError>([&] { x.to_vector(); });
          const bool refused = said.find("this process was forked") != std::string::npos;
          return refused && !cuda::is_available() && compute().size() > 0;
        }) == ChildEnd::right);
  CHECK(cuda::is_available());
}

TEST_CASE("a child whose parent has had no threads at work keeps their number", "[fork]") {
  const Threads threads(3);
  const std::vector<double> want = compute();
  CHECK(run_in_child([&] {  // an idle parent with three threads
          set_num_threads(3);
          return run_in_child([&] { return num_threads() == 3 && compute() == want; }) ==
                 ChildEnd::right;
        }) == ChildEnd::right);
}
