#include "cuda/lent.h"

#include <algorithm>
#include <mutex>
#include <vector>

#include "cuda/graph.h"
#include "cuda/library.h"

namespace normlab::cuda {
namespace {

struct Lent {
  std::function<void()> release;
  bool elsewhere;         ///< work on streams of others may use it, which may be gone by now
  void* event = nullptr;  ///< on ours, behind the last use; null: not marked yet
};

/// With so many that others may use, it is worth waiting for the whole device.
constexpr int64_t kMostElsewhere = 32;

/// Never destroyed, as the allocator's caches.
struct List {
  std::mutex mutex;
  std::vector<Lent> all;
};
List& list() {
  static List* instance = new List;
  return *instance;
}

bool is_done(Lent& lent) {
  const StreamFunctions& stream = *opened_backend().stream;
  // What cannot be marked or asked for has failed with all the rest: nothing uses it any more.
  if (!lent.event && stream.mark(&lent.event)) return true;
  bool passed = false;
  const bool failed = stream.has_passed(lent.event, &passed) != nullptr;
  if (passed || failed) stream.forget(lent.event);
  return passed || failed;
}

/// Takes out what is done, after waiting for all streams if `wait`: release() may come back here.
std::vector<Lent> take_done(bool wait) {
  List& lent = list();
  const std::lock_guard lock(lent.mutex);
  const int64_t elsewhere =
      std::count_if(lent.all.begin(), lent.all.end(), [](const Lent& l) { return l.elsewhere; });
  const bool all_done = elsewhere > 0 && (wait || elsewhere >= kMostElsewhere) &&
                        !opened_backend().stream->finish_all();
  std::vector<Lent> done;
  for (size_t i = 0; i < lent.all.size();) {
    if (lent.all[i].elsewhere ? all_done : is_done(lent.all[i])) {
      done.push_back(std::move(lent.all[i]));
      lent.all[i] = std::move(lent.all.back());
      lent.all.pop_back();
    } else {
      ++i;
    }
  }
  return done;
}

}  // namespace

void release_after_work(std::function<void()> release, bool elsewhere) noexcept {
  {
    List& lent = list();
    const std::lock_guard lock(lent.mutex);
    lent.all.push_back({std::move(release), elsewhere});
  }
  finish_lent();
}

std::mutex& lent_lock() {
  return list().mutex;
}

void finish_lent(bool wait) noexcept {
  if (a_thread_captures()) return;  // an event would become part of the graph
  for (const Lent& lent : take_done(wait)) lent.release();
}

}  // namespace normlab::cuda
