#include "cpu/pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

#include "cpu/contention.h"

namespace normlab::pool {
namespace {

using Clock = Contention::Clock;
using std::chrono::microseconds;

/// How long a thread without work stays awake. Between the loops of a training step lie some ten
/// microseconds; a sleeping thread comes fifty later.
constexpr auto kAwake = microseconds(500);
/// How long the calling thread stays awake for others that have begun.
constexpr auto kAwakeForOthers = microseconds(100);
/// A thread that is asleep begins within this time if a processor is free.
constexpr auto kWakes = microseconds(500);
/// How long a thread that has begun may take beyond the time for its work before it is late.
constexpr auto kPatience = kWakes / 8;
/// Elementary operations that are taken at once, so that taking them costs little.
constexpr int64_t kTaken = 4096;

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Stays awake until done() or until `time` has passed. Whether it is done.
template <class Done>
bool stay_awake(Clock::duration time, const Done& done) {
  const Clock::time_point end = Clock::now() + time;
  do {
    for (int i = 0; i < 64; ++i) {
      if (done()) return true;
      relax();
    }
  } while (Clock::now() < end);
  return done();
}

/// The part of a loop that one thread does first, so that it finds in its cache what it wrote there
/// in the loop before. The others take from it when theirs is done.
struct alignas(64) Part {
  std::atomic<int64_t> next;
  int64_t end;
};

/// One call of run().
struct Loop {
  Body body;
  const void* data;
  int64_t step;
  std::vector<Part> parts;
  std::atomic<uint32_t> ended;  ///< threads that have begun and will not touch the loop any more

  void begin(int64_t n, int64_t cost, int threads, Body the_body, const void* the_data) {
    body = the_body;
    data = the_data;
    step = std::clamp<int64_t>(kTaken / std::max<int64_t>(cost, 1), 1, n / (4 * threads) + 1);
    ended.store(0, std::memory_order_relaxed);
    if (parts.size() < static_cast<size_t>(threads)) parts = std::vector<Part>(threads);
    for (int t = 0; t < threads; ++t) {
      parts[t].next.store(n * t / threads, std::memory_order_relaxed);
      parts[t].end = n * (t + 1) / threads;
    }
  }

  /// Does what is left, the own part first. How often it took some.
  int64_t work(int own, int threads) {
    int64_t taken = 0;
    for (int t = 0; t < threads; ++t) {
      Part& part = parts[(own + t) % threads];
      for (;;) {
        const int64_t first = part.next.fetch_add(step, std::memory_order_relaxed);
        if (first >= part.end) break;
        body(data, first, std::min(first + step, part.end));
        ++taken;
      }
    }
    return taken;
  }
};

thread_local bool the_thread_is_in_a_loop = false;

/// A thread of the pool. A loop posts itself; the worker takes it, or the loop takes it back.
class Worker {
 public:
  Worker() {
    std::thread([this] { serve(); }).detach();
  }

  /// False if the worker has other work.
  bool post(Loop* loop, int own, int threads) {
    Loop* none = nullptr;
    if (!loop_.compare_exchange_strong(none, claimed())) return false;
    own_ = own;
    threads_ = threads;
    loop_.store(loop);
    if (asleep_.load()) {
      signal_.fetch_add(1);
      signal_.notify_one();
    }
    return true;
  }

  /// False if the worker has begun.
  bool take_back(Loop* loop) { return loop_.compare_exchange_strong(loop, nullptr); }

 private:
  /// Stands in loop_ while a loop is being posted or worked at.
  static Loop* claimed() {
    static Loop placeholder;
    return &placeholder;
  }

  bool has_loop() const {
    const Loop* loop = loop_.load(std::memory_order_relaxed);
    return loop && loop != claimed();
  }

  [[noreturn]] void serve() {
    the_thread_is_in_a_loop = true;
    for (;;) {
      if (!stay_awake(kAwake, [this] { return has_loop(); })) sleep();
      Loop* loop = loop_.load();
      if (!loop || loop == claimed() || !loop_.compare_exchange_strong(loop, claimed())) continue;
      loop->work(own_, threads_);
      std::atomic<uint32_t>& ended = loop->ended;
      loop_.store(nullptr);
      ended.fetch_add(1, std::memory_order_release);
      ended.notify_one();
    }
  }

  void sleep() {
    const uint32_t before = signal_.load();
    asleep_.store(true);
    const Loop* loop = loop_.load();  // in one order with asleep_: see post()
    if (!loop || loop == claimed()) signal_.wait(before);
    asleep_.store(false);
  }

  std::atomic<Loop*> loop_{nullptr};
  std::atomic<uint32_t> signal_{0};
  std::atomic<bool> asleep_{false};
  int own_ = 0, threads_ = 0;
};

constexpr int kMostWorkers = 255;

/// Never destroyed: workers may be awake while the process ends.
constinit std::atomic<Worker*> the_workers[kMostWorkers] = {};
constinit std::atomic<int> the_number{0};
constinit std::mutex the_growing;
constinit Contention the_contention;

/// Number of workers, `wanted` if the system has so many threads.
int grown_to(int wanted) {
  if (the_number.load(std::memory_order_acquire) >= wanted) return wanted;
  const std::lock_guard lock(the_growing);
  int number = the_number.load(std::memory_order_relaxed);
  try {
    for (; number < wanted; ++number) {
      the_workers[number].store(new Worker, std::memory_order_relaxed);
      the_number.store(number + 1, std::memory_order_release);
    }
  } catch (const std::system_error&) {
  } catch (const std::bad_alloc&) {
  }
  return number;
}

/// The workers that a loop has posted itself to.
struct Posted {
  Worker* workers[kMostWorkers];
  int number = 0;

  void post(Loop& loop, int threads) {
    const int workers_now = grown_to(threads - 1);
    for (int w = 0; w < workers_now && number < threads - 1; ++w) {
      Worker* worker = the_workers[w].load(std::memory_order_relaxed);
      if (worker->post(&loop, number + 1, threads)) workers[number++] = worker;
    }
  }

  /// How many had not begun.
  int take_back(Loop& loop) {
    return static_cast<int>(std::count_if(
        workers, workers + number, [&](Worker* worker) { return worker->take_back(&loop); }));
  }
};

/// Waits for the threads that have begun. How many of them were late, if others need `patience` for
/// what they do.
int wait_for(Loop& loop, uint32_t begun, Clock::duration patience, Clock::time_point now) {
  const auto missing = [&] { return begun - loop.ended.load(std::memory_order_acquire); };
  if (stay_awake(std::min<Clock::duration>(patience, kAwakeForOthers), [&] { return !missing(); }))
    return 0;
  const auto late = static_cast<int>(missing());
  // Asleep, this thread leaves its processor to the one that it waits for.
  while (const uint32_t left = missing()) loop.ended.wait(begun - left);
  return Clock::now() - now > patience ? late : 0;
}

void run_on_all(int64_t n, int64_t cost, int threads, Body body, const void* data,
                Clock::time_point start) {
  thread_local Loop loop;
  loop.begin(n, cost, threads, body, data);
  Posted posted;
  posted.post(loop, threads);
  the_thread_is_in_a_loop = true;
  const int64_t taken = loop.work(0, threads);
  the_thread_is_in_a_loop = false;
  const Clock::time_point now = Clock::now();
  const int never_begun = posted.take_back(loop);
  int late = now - start > kWakes ? never_begun : 0;
  if (const int begun = posted.number - never_begun; begun > 0)
    late += wait_for(loop, begun, 2 * (now - start) / std::max<int64_t>(taken, 1) + kPatience, now);
  if (late > 0) the_contention.report(posted.number + 1, late, Clock::now());
}

}  // namespace

void run(int64_t n, int64_t cost, int threads, Body body, const void* data) {
  if (!the_thread_is_in_a_loop) {
    const Clock::time_point now = Clock::now();
    threads = the_contention.allowed(std::min(threads, kMostWorkers + 1), now);
    if (threads > 1) return run_on_all(n, cost, threads, body, data, now);
  }
  body(data, 0, n);
}

void lock() {
  the_growing.lock();
}

void unlock() {
  the_growing.unlock();
}

bool forget_threads() {
  the_contention.forget();
  return the_number.exchange(0) > 0;
}

}  // namespace normlab::pool
