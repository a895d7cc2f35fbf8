#pragma once

#include <algorithm>
#include <memory>
#include <numeric>
#include <vector>

#include "backend/cuda.h"
#include "backend/cuda_graph.h"
#include "backend/parallel.h"
#include "normlab/autograd.h"

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
  const float* gradient(int64_t begin, int64_t n, float* buffer) const;
};

/// The slots of all parameters that have a gradient. GradError if a shape differs, DeviceError if
/// the gradient is on another device.
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

/// Calls update(index, begin, n, w, g) over all chunks of all parameters that have a gradient, in
/// parallel, and marks them as changed.
template <class Update>
void update_all(const char* op, const std::vector<Tensor>& parameters, const Update& update) {
  std::vector<Slot> slots = slots_of(op, parameters);
  std::vector<int64_t> sizes;
  std::vector<float*> values;
  for (Slot& slot : slots) {
    sizes.push_back(slot.parameter.numel());
    values.push_back(slot.parameter.data<float>());
  }
  const std::vector<Chunk> chunks = chunks_of(sizes);
  const int64_t count = static_cast<int64_t>(chunks.size());
  const int64_t cost = 8 * std::reduce(sizes.begin(), sizes.end()) / std::max<int64_t>(count, 1);
  parallel_for(count, cost, [&](int64_t i) {
    const auto [owner, begin, n] = chunks[static_cast<size_t>(i)];
    float buffer[kChunk];
    const float* g = slots[owner].gradient(begin, n, buffer);
    update(slots[owner].index, begin, n, values[owner] + begin, g);
  });
  mark_changed(slots);
}

/// A tensor of zeros for each parameter, on its device.
std::vector<Tensor> zeros_like(const std::vector<Tensor>& parameters);

// --- on a GPU -----------------------------------------------------------------------------------

/// Where all tensors are; the CPU if there are none. DeviceError naming the first that is
/// elsewhere.
Device device_of(const char* op, const char* what, const std::vector<Tensor>& tensors);
/// Takes what an optimizer keeps of its parameters to where these are now.
void follow(const std::vector<Tensor>& parameters, std::vector<Tensor>& kept);
/// What the kernels take. The moments may be empty.
std::vector<cuda::OptimTensor> gpu_tensors(const std::vector<Slot>& slots,
                                           const std::vector<Tensor>& first,
                                           const std::vector<Tensor>& second);
/// ValueError if a captured step's parameters, or what is kept of them, have other memory by now.
void check_in_place(const char* op, const std::vector<cuda::OptimTensor>& captured,
                    const std::vector<cuda::OptimTensor>& now);
/// Within a capture: where the optimizer's constants of each replay will stand, see at_replay().
template <class Step>
const Step* at_replay(const char* op, const std::shared_ptr<const bool>& alive,
                      std::function<void()> in_place, std::function<Step()> next,
                      std::function<void()> done) {
  const std::weak_ptr<const bool> still = alive;
  return cuda::at_replay<Step>(
      [op, still, in_place = std::move(in_place)] {
        check<ValueError>(!still.expired(), "replay", "the ", op,
                          " whose step was captured is gone");
        in_place();
      },
      std::move(next), std::move(done));
}

}  // namespace normlab::optim
