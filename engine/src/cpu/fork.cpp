#include "cpu/fork.h"

#include <omp.h>
#include <pthread.h>

#include <condition_variable>
#include <mutex>
#include <new>

#include "cpu/isa.h"
#include "cpu/pool.h"
#include "normlab/threads.h"

namespace normlab {
namespace {

thread_local int the_depth = 0;  ///< of this thread's InOneDnn

/// Many may be inside, or one that has closed it. Who closes waits for those who are inside only,
/// not for those who come.
class Gate {
 public:
  void enter() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !closed_; });
    ++inside_;
  }
  void leave() {
    const std::lock_guard lock(mutex_);
    --inside_;
    if (closed_) changed_.notify_all();
  }
  /// The mutex stays locked until open(). `mine`: how many of those inside are the caller.
  void close(int mine) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !closed_; });
    closed_ = true;
    changed_.wait(lock, [&] { return inside_ == mine; });
    lock.release();
  }
  void open() {
    closed_ = false;
    mutex_.unlock();
    changed_.notify_all();
  }
  /// In the child, where nobody waits any more.
  void open_in_child(int mine) {
    new (&changed_) std::condition_variable;  // it counts threads that are gone
    inside_ = mine;
    open();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool closed_ = false;
  int inside_ = 0;
};

/// Never destroyed: other threads may compute while the process ends.
Gate& the_gate() {
  static Gate* instance = new Gate;
  return *instance;
}

/// The child must not find a variable whose making another thread has begun.
void finish_statics() {
  isa();
  num_threads();
  the_gate();
  all_locks();
}

void before_fork() {
  finish_statics();
  the_gate().close(the_depth > 0 ? 1 : 0);
  for (std::mutex* const* lock = all_locks(); *lock; ++lock) (*lock)->lock();
  pool::lock();
}

void unlock_all() {
  pool::unlock();
  for (std::mutex* const* lock = all_locks(); *lock; ++lock) (*lock)->unlock();
}

void after_fork_in_parent() {
  unlock_all();
  the_gate().open();
}

void after_fork_in_child() {
  unlock_all();
  the_gate().open_in_child(the_depth > 0 ? 1 : 0);
  forget_gpu();
  if (pool::forget_threads()) set_num_threads(1);
}

/// What was registered last runs first before a fork. Clang's OpenMP registers handlers when it is
/// first asked for something; they take a lock that threads inside oneDNN may wait for, so that
/// the gate must have closed before.
int register_handlers() {
  omp_get_max_threads();
  return pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}
[[maybe_unused]] const int the_registration = register_handlers();

}  // namespace

InOneDnn::InOneDnn() {
  if (the_depth++ == 0) the_gate().enter();
}

InOneDnn::~InOneDnn() {
  if (--the_depth == 0) the_gate().leave();
}

}  // namespace normlab
