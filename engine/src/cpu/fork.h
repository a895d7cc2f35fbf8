#pragma once

#include <mutex>

// fork(): the child has one thread, the one that forked, and copies of all locks as they were. Here
// a fork waits until no other thread holds one of ours, and the child computes on threads of its
// own. If the parent has had threads at work, the child starts with one, as there may be many
// children.
namespace normlab {

/// While it lives, its thread and the loops that it runs may call oneDNN, which has
/// locks that we cannot reach: a fork waits until there is none. May be nested.
class InOneDnn {
 public:
  InOneDnn();
  ~InOneDnn();
  InOneDnn(const InOneDnn&) = delete;
  InOneDnn& operator=(const InOneDnn&) = delete;
};

/// All other locks of the engine, outer ones first, null at the end: who holds one may wait for
/// those behind it. Defined in cuda/fork.cpp, above the layers that have locks. A new lock belongs
/// there, or is only taken where InOneDnn lives.
std::mutex* const* all_locks();
/// For the child's handler: lets go of what did not survive the fork. Also defined there.
void forget_gpu();

}  // namespace normlab
