#pragma once

#include <functional>

// GPU memory that others have lent us.

namespace normlab::cuda {

/// Runs release() as soon as it is seen that all work queued so far, which may use the memory, is
/// done: at the next call of this function or of finish_lent().
void release_after_work(std::function<void()> release) noexcept;
/// Gives back what queued work no longer uses.
void finish_lent() noexcept;

}  // namespace normlab::cuda
