#pragma once

#include <algorithm>
#include <memory>
#include <numeric>
#include <vector>

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

/// The slots of all parameters that have a gradient. GradError if a shape differs.
std::vector<Slot> slots_of(const char* op, const std::vector<Tensor>& parameters);

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
  for (Slot& slot : slots) slot.parameter.bump_version();
}

/// A tensor of zeros for each parameter.
std::vector<Tensor> zeros_like(const std::vector<Tensor>& parameters);

}  // namespace normlab::optim
