#pragma once

#include <mutex>

// fork(): the child has one thread, the one that forked, and copies of all locks as they were. Here
// a fork waits until no other thread holds one of ours, and the child computes on threads of its
// own: OpenMP's of the parent do not exist there, and to wait for them would take for ever. If the
// parent has had threads at work, the child starts with one of them, as there may be many children.
namespace normlab {

/// While it lives, its thread and the parallel regions that it opens may call oneDNN, which has
/// locks that we cannot reach: a fork waits until there is none. May be nested.
class InOneDnn {
 public:
  InOneDnn();
  ~InOneDnn();
  InOneDnn(const InOneDnn&) = delete;
  InOneDnn& operator=(const InOneDnn&) = delete;
};

/// Called before a parallel region. False in a thread that came out of a fork: the team of threads
/// that OpenMP keeps for it is gone, and a region would wait for it.
bool opens_regions();

/// For such a thread: runs work(data), which must not throw, on another thread, whose team OpenMP
/// makes anew, and waits. False if there is no other thread to be had.
bool run_elsewhere(void (*work)(const void*), const void* data);

/// All other locks of the engine, outer ones first, null at the end: who holds one may wait for
/// those behind it. Defined in cuda/fork.cpp, above the layers that have locks. A new lock belongs
/// there, or is only taken where InOneDnn lives.
std::mutex* const* all_locks();
/// For the child's handler: lets go of what did not survive the fork. Also defined there.
void forget_gpu();

/// For the child's handler: the stand-in that a parent had does not exist any more.
void forget_stand_in();

}  // namespace normlab
