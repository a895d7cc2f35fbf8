#pragma once

#include <cstring>
#include <functional>
#include <type_traits>

#include "core/gpu.h"
#include "normlab/random.h"

// What the engine does otherwise while this thread captures a graph: a replay runs the same kernels
// with the same arguments, so all that changes from step to step stands in the device's memory.

namespace normlab::cuda {

/// Whether this thread captures a graph, and whether any does.
bool is_capturing();
bool a_thread_captures();

/// A value on the device that each replay has anew.
struct Replayed {
  std::function<void()> check;       ///< throws if there can be no further replay
  std::function<void(void*)> write;  ///< computes it for the next replay
  std::function<void()> done;        ///< it is on its way: the next one is that of a step further
};
/// Within a capture: where the value, of `bytes` bytes, will stand. Null outside.
const void* at_replay(int64_t bytes, Replayed value);
template <class T>
const T* at_replay(std::function<void()> check, std::function<T()> next,
                   std::function<void()> done) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) % 4 == 0);
  const auto write = [next = std::move(next)](void* to) {
    const T value = next();
    std::memcpy(to, &value, sizeof value);
  };
  return static_cast<const T*>(at_replay(sizeof(T), {std::move(check), write, std::move(done)}));
}

/// Within a capture: where on the device stands how many blocks further than at the capture the
/// generator's numbers begin (a uint64_t, whose memory the tensor holds); kernels add it to their
/// offset, in the backward pass too. Undefined outside. To be asked before the generator advances,
/// which it does with each replay again.
Tensor replay_offset(Generator& generator);

}  // namespace normlab::cuda
