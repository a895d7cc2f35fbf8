#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

#include "cpu/fork.h"

namespace normlab {
namespace {

/// A thread that waits for work of another.
class StandIn {
 public:
  StandIn() {
    std::thread([this] { serve(); }).detach();
  }

  void run(void (*work)(const void*), const void* data) {
    std::unique_lock lock(mutex_);
    work_ = work;
    data_ = data;
    changed_.notify_all();
    changed_.wait(lock, [&] { return work_ == nullptr; });
  }

 private:
  [[noreturn]] void serve() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return work_ != nullptr; });
      lock.unlock();  // the other thread waits: nobody writes what is read here
      work_(data_);
      lock.lock();
      work_ = nullptr;
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  void (*work_)(const void*) = nullptr;
  const void* data_ = nullptr;
};

/// Never destroyed: its thread may wait until the process ends.
thread_local StandIn* the_stand_in = nullptr;

}  // namespace

bool run_elsewhere(void (*work)(const void*), const void* data) {
  try {
    if (!the_stand_in) the_stand_in = new StandIn;
  } catch (const std::system_error&) {
    return false;
  } catch (const std::bad_alloc&) {
    return false;
  }
  the_stand_in->run(work, data);
  return true;
}

void forget_stand_in() {
  the_stand_in = nullptr;
}

}  // namespace normlab
