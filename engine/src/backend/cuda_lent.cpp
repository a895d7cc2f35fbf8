#include "backend/cuda_lent.h"

#include <mutex>
#include <vector>

#include "backend/cuda.h"
#include "backend/cuda_graph.h"

namespace normlab::cuda {
namespace {

struct Lent {
  std::function<void()> release;
  void* stream;           ///< whose work may use it; null: ours
  void* event = nullptr;  ///< behind the last use; null: not marked yet
};

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
  const StreamFunctions& stream = *backend().stream;
  // What cannot be marked or asked for has failed with all the rest: nothing uses it any more.
  if (!lent.event && stream.mark(lent.stream, &lent.event)) return true;
  bool passed = false;
  const bool failed = stream.has_passed(lent.event, &passed) != nullptr;
  if (passed || failed) stream.forget(lent.event);
  return passed || failed;
}

/// Takes out what is done: release() may come back here.
std::vector<Lent> take_done() {
  List& lent = list();
  const std::lock_guard lock(lent.mutex);
  std::vector<Lent> done;
  for (size_t i = 0; i < lent.all.size();) {
    if (is_done(lent.all[i])) {
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

void release_after_work(std::function<void()> release, void* stream) noexcept {
  {
    List& lent = list();
    const std::lock_guard lock(lent.mutex);
    lent.all.push_back({std::move(release), stream});
  }
  finish_lent();
}

void finish_lent() noexcept {
  if (a_thread_captures()) return;  // an event would become part of the graph
  for (const Lent& lent : take_done()) lent.release();
}

}  // namespace normlab::cuda
