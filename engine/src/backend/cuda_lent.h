#pragma once

#include <functional>
#include <mutex>

// What queued work may still use: memory that others have lent us or have from us, graphs.

namespace normlab::cuda {

/// Runs release() as soon as it is seen that all work queued so far, which may use the memory, is
/// done: at the next call of this function or of finish_lent(). `elsewhere`: not that of our stream
/// alone; then it takes a wait for the whole device, for many at a time or at finish_lent(true).
void release_after_work(std::function<void()> release, bool elsewhere = false) noexcept;
/// Guards what is lent, for fork.cpp.
std::mutex& lent_lock();
/// Gives back what queued work no longer uses.
void finish_lent(bool wait = false) noexcept;

}  // namespace normlab::cuda
