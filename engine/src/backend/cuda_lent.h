#pragma once

#include <functional>

// What queued work may still use: memory that others have lent us or have from us, graphs.

namespace normlab::cuda {

/// Runs release() as soon as it is seen that all work queued so far, which may use the memory, is
/// done: at the next call of this function or of finish_lent(). The work of our stream (null) or of
/// another.
void release_after_work(std::function<void()> release, void* stream = nullptr) noexcept;
/// Gives back what queued work no longer uses.
void finish_lent() noexcept;

}  // namespace normlab::cuda
