#include "optim/update.h"

#include <tuple>

#include <algorithm>

#include "core/tensor_impl.h"

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
    const bool gpu = parameters[i].device() == Device::cuda;
    if (gpu) slot.sparse = nullptr;  // its kernels take dense gradients
    if (!slot.sparse) slot.dense = parameters[i].grad();
    if (!slot.sparse && !slot.dense) continue;
    const Shape& shape = slot.sparse ? slot.sparse->shape : slot.dense.shape();
    check<GradError>(shape == parameters[i].shape(), op, "parameter ", i, " has shape ",
                     parameters[i].shape(), ", its gradient ", shape);
    const Device device = slot.sparse ? slot.sparse->values.device() : slot.dense.device();
    check<DeviceError>(device == parameters[i].device(), op, "parameter ", i, " is on ",
                       parameters[i].device(), ", its gradient on ", device);
    slots.push_back(std::move(slot));
  }
  return slots;
}

void mark_changed(const std::vector<Slot>& slots) {
  for (const Slot& slot : slots) Tensor(slot.parameter).bump_version();
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
  for (const Tensor& p : parameters)
    zeros.push_back(Tensor::zeros(p.shape(), p.dtype(), p.device()));
  return zeros;
}

Device device_of(const char* op, const char* what, const std::vector<Tensor>& tensors) {
  const Device first = tensors.empty() ? Device::cpu : tensors[0].device();
  for (size_t i = 1; i < tensors.size(); ++i)
    check<DeviceError>(tensors[i].device() == first, op, "all ", what,
                       "s must be on one device; the first is on ", first, ", ", what, ' ', i,
                       " on ", tensors[i].device());
  return first;
}

void follow(const std::vector<Tensor>& parameters, std::vector<Tensor>& kept) {
  for (size_t i = 0; i < kept.size(); ++i) kept[i] = kept[i].to(parameters[i].device());
}

void check_in_place(const char* op, const std::vector<cuda::OptimTensor>& captured,
                    const std::vector<cuda::OptimTensor>& now) {
  const auto memory = [](const cuda::OptimTensor& t) { return std::tie(t.w, t.first, t.second); };
  for (size_t i = 0; i < captured.size(); ++i)
    check<ValueError>(memory(captured[i]) == memory(now[i]), "replay", "the parameters of ", op,
                      " have been moved since the capture; capture again");
}

std::vector<cuda::OptimTensor> gpu_tensors(const std::vector<Slot>& slots,
                                           const std::vector<Tensor>& first,
                                           const std::vector<Tensor>& second) {
  const auto pointer = [](const std::vector<Tensor>& all, size_t i) {
    return all.empty() ? nullptr : static_cast<float*>(device_data(all[i]));
  };
  std::vector<cuda::OptimTensor> tensors;
  for (const Slot& slot : slots)
    tensors.push_back({static_cast<float*>(device_data(slot.parameter)),
                       static_cast<const float*>(device_data(slot.dense)),
                       pointer(first, slot.index), pointer(second, slot.index),
                       slot.parameter.numel()});
  return tensors;
}

}  // namespace normlab::optim
