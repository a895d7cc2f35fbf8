#include "optim/update.h"

#include <algorithm>

namespace normlab::optim {

const float* Slot::gradient(int64_t begin, int64_t n, float* buffer) const {
  if (!sparse) return dense.data<float>() + begin;
  std::fill_n(buffer, n, 0.0f);
  const int64_t count = sparse->rows.numel();
  if (count == 0) return buffer;
  const int64_t* rows = sparse->rows.data<int64_t>();
  const float* values = sparse->values.data<float>();
  const int64_t width = sparse->values.numel() / count;
  for (int64_t i = std::lower_bound(rows, rows + count, begin / width) - rows;
       i < count && rows[i] * width < begin + n; ++i) {
    const int64_t row = rows[i] * width;
    const int64_t from = std::max(row, begin), to = std::min(row + width, begin + n);
    std::copy_n(values + i * width + (from - row), to - from, buffer + (from - begin));
  }
  return buffer;
}

std::vector<Slot> slots_of(const char* op, const std::vector<Tensor>& parameters) {
  std::vector<Slot> slots;
  for (size_t i = 0; i < parameters.size(); ++i) {
    Slot slot{i, parameters[i], {}, parameters[i].sparse_grad()};
    if (!slot.sparse) slot.dense = parameters[i].grad();
    if (!slot.sparse && !slot.dense) continue;
    const Shape& shape = slot.sparse ? slot.sparse->shape : slot.dense.shape();
    check<GradError>(shape == parameters[i].shape(), op, "parameter ", i, " has shape ",
                     parameters[i].shape(), ", its gradient ", shape);
    slots.push_back(std::move(slot));
  }
  return slots;
}

std::vector<Chunk> chunks_of(const std::vector<int64_t>& sizes) {
  std::vector<Chunk> chunks;
  for (size_t owner = 0; owner < sizes.size(); ++owner)
    for (int64_t begin = 0; begin < sizes[owner]; begin += kChunk)
      chunks.push_back({owner, begin, std::min(kChunk, sizes[owner] - begin)});
  return chunks;
}

std::vector<Tensor> zeros_like(const std::vector<Tensor>& parameters) {
  std::vector<Tensor> zeros;
  for (const Tensor& parameter : parameters) zeros.push_back(Tensor::zeros(parameter.shape()));
  return zeros;
}

}  // namespace normlab::optim
