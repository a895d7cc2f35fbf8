#pragma once

#include <atomic>
#include <chrono>

namespace normlab {

/// How many threads a loop gets while other work holds processors, from how often threads are late.
///
/// A late thread is one that its system did not let run. Two of them within kWindow make the loops
/// do without for a while, which doubles as long as the next attempts end likewise. All members may
/// be called by several threads at once; a race costs at most a worse guess.
class Contention {
 public:
  using Clock = std::chrono::steady_clock;

  /// The number of threads, at most `wanted`.
  int allowed(int wanted, Clock::time_point now) const;
  /// Says that `late` of `used` threads were late.
  void report(int used, int late, Clock::time_point now);
  /// As on a machine about which nothing is known.
  void forget();

 private:
  using Rep = Clock::rep;

  std::atomic<int> limit_{1};
  std::atomic<Rep> until_{0};      ///< when limit_ ends
  std::atomic<Rep> pause_{0};      ///< how long it lasts
  std::atomic<Rep> last_late_{0};  ///< when a thread was last late
};

}  // namespace normlab
