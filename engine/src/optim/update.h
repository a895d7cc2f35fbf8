#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <numeric>
#include <tuple>
#include <utility>
#include <vector>

#include "core/dispatch.h"
#include "cpu/parallel.h"
#include "cuda/graph.h"
#include "cuda/library.h"
#include "normlab/autograd.h"
#include "optim/optim_cuda.h"

namespace normlab::optim {

/// What one thread works on at a time, in elements. Fixed, so that results do not depend on the
/// number of threads; a gradient of that size fits the first cache.
inline constexpr int64_t kChunk = 4096;

/// A parameter that has a gradient: a dense one, or rows of it.
struct Slot {
  size_t index;  ///< among the optimizer's parameters
  Tensor parameter, dense;
  std::shared_ptr<const SparseRows> sparse;

  /// The gradient's elements [begin, begin + n): where they are, or gathered into `buffer`, with
  /// zeros for absent rows.
  template <class T>
  const T* gradient(int64_t begin, int64_t n, T* buffer) const;
};

/// The slots of all parameters that have a gradient. GradError if a shape differs, DeviceError if
/// the gradient is on another device, DtypeError if it is of another type.
std::vector<Slot> slots_of(const char* op, const std::vector<Tensor>& parameters);

/// Counts a change of the parameters' values.
void mark_changed(const std::vector<Slot>& slots);

/// A stretch of one tensor in a list of tensors.
struct Chunk {
  size_t owner;
  int64_t begin, n;
};
/// Tensors of those sizes, cut into chunks.
std::vector<Chunk> chunks_of(const std::vector<int64_t>& sizes);

/// Calls update<T>(k, begin, n, w, g) over all chunks of all slots, in parallel, k being the slot's
/// place among them, and marks the parameters as changed.
template <class Update>
void update_all(std::vector<Slot>& slots, const Update& update) {
  std::vector<int64_t> sizes;
  for (const Slot& slot : slots) sizes.push_back(slot.parameter.numel());
  const std::vector<Chunk> chunks = chunks_of(sizes);
  const int64_t count = static_cast<int64_t>(chunks.size());
  const int64_t cost = 8 * std::reduce(sizes.begin(), sizes.end()) / std::max<int64_t>(count, 1);
  parallel_for(count, cost, [&](int64_t i) {
    const Chunk chunk = chunks[static_cast<size_t>(i)];
    Slot& slot = slots[chunk.owner];
    dispatch_floating("step", slot.parameter.dtype(), [&]<class T>() {
      T buffer[kChunk];
      const T* g = slot.gradient(chunk.begin, chunk.n, buffer);
      T* w = slot.parameter.template data<T>() + chunk.begin;
      update.template operator()<T>(chunk.owner, chunk.begin, chunk.n, w, g);
    });
  });
  mark_changed(slots);
}

/// The slots by what one launch on a GPU has in common: key(slot), and the parameter's type.
template <class Key>
std::vector<std::vector<Slot>> parts_of(const std::vector<Slot>& slots, const Key& key) {
  std::map<std::pair<DType, decltype(key(slots[0]))>, std::vector<Slot>> parts;
  for (const Slot& slot : slots) parts[{slot.parameter.dtype(), key(slot)}].push_back(slot);
  std::vector<std::vector<Slot>> list;
  for (auto& [common, part] : parts) list.push_back(std::move(part));
  return list;
}

/// Zeros like a parameter, on its device.
Tensor zeros_like(const Tensor& parameter);

// --- on a GPU -----------------------------------------------------------------------------------

/// Where all tensors are; the CPU if there are none. DeviceError naming the first that is
/// elsewhere.
Device device_of(const char* op, const char* what, const std::vector<Tensor>& tensors);
/// Takes what an optimizer keeps of its parameters to where these are now, and to their type.
void follow(const std::vector<Tensor>& parameters, std::vector<Tensor>& kept);
/// What the kernels take. The moments may be empty.
template <class T>
std::vector<Parameter<T>> gpu_tensors(const std::vector<Slot>& slots,
                                      const std::vector<Tensor>& first,
                                      const std::vector<Tensor>& second);
/// ArgumentError if a captured step's parameters, or what is kept of them, have other memory by
/// now.
template <class T>
void check_in_place(const char* op, const std::vector<Parameter<T>>& captured,
                    const std::vector<Parameter<T>>& now) {
  const auto memory = [](const auto& t) { return std::tie(t.w, t.first, t.second); };
  for (size_t i = 0; i < captured.size(); ++i)
    check<ArgumentError>(memory(captured[i]) == memory(now[i]), "replay", "the parameters of ", op,
                         " have been moved since the capture; capture again");
}
/// Within a capture: where the optimizer's constants of each replay will stand, see at_replay().
template <class Step>
const Step* at_replay(const char* op, const std::shared_ptr<const bool>& alive,
                      std::function<void()> in_place, std::function<Step()> next,
                      std::function<void()> done) {
  const std::weak_ptr<const bool> still = alive;
  return cuda::at_replay<Step>(
      [op, still, in_place = std::move(in_place)] {
        check<ArgumentError>(!still.expired(), "replay", "the ", op,
                             " whose step was captured is gone");
        in_place();
      },
      std::move(next), std::move(done));
}

}  // namespace normlab::optim
