#pragma once

#include <mutex>

#include "core/gpu.h"

// What queued work may still use: memory that others have lent us or have from us, graphs. Core's
// release_after_work() adds to it.

namespace normlab::cuda {

/// Guards what is lent, for fork.cpp.
std::mutex& lent_lock();
/// Gives back what queued work no longer uses.
void finish_lent(bool wait = false) noexcept;

}  // namespace normlab::cuda
