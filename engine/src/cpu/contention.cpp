#include "cpu/contention.h"

#include <algorithm>

namespace normlab {
namespace {

using std::chrono::milliseconds;

constexpr auto count(Contention::Clock::duration time) {
  return time.count();
}

constexpr auto kWindow = count(milliseconds(100));
constexpr auto kShortest = count(milliseconds(8));
constexpr auto kLongest = count(milliseconds(250));

}  // namespace

int Contention::allowed(int wanted, Clock::time_point now) const {
  if (count(now.time_since_epoch()) >= until_.load(std::memory_order_relaxed)) return wanted;
  return std::min(wanted, limit_.load(std::memory_order_relaxed));
}

void Contention::report(int used, int late, Clock::time_point time) {
  const Rep now = count(time.time_since_epoch());
  const Rep until = until_.load(std::memory_order_relaxed);
  const bool again = now - last_late_.exchange(now, std::memory_order_relaxed) < kWindow;
  const bool after_pause = now - until < kWindow;
  if (!again && !after_pause) return;
  const Rep pause = pause_.load(std::memory_order_relaxed);
  const Rep next = after_pause ? std::min(2 * pause, kLongest) : kShortest;
  pause_.store(next, std::memory_order_relaxed);
  limit_.store(std::max(1, used - late), std::memory_order_relaxed);
  // Processes that share the machine must not try again at the same moments.
  until_.store(now + next + now % (next / 4), std::memory_order_relaxed);
}

void Contention::forget() {
  until_ = 0;
  last_late_ = 0;
}

}  // namespace normlab
