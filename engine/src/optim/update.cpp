#include "optim/update.h"

#include <algorithm>

#include "core/tensor_impl.h"

namespace normlab::optim {

template <class T>
const T* Slot::gradient(int64_t begin, int64_t n, T* buffer) const {
  if (!sparse) return dense.data<T>() + begin;
  std::fill_n(buffer, n, T(0));
  const int64_t count = sparse->rows.numel();
  if (count == 0) return buffer;
  const int64_t* rows = sparse->rows.data<int64_t>();
  const T* values = sparse->values.data<T>();
  const int64_t width = sparse->values.numel() / count;
  for (int64_t i = std::lower_bound(rows, rows + count, begin / width) - rows;
       i < count && rows[i] * width < begin + n; ++i) {
    const int64_t row = rows[i] * width;
    const int64_t from = std::max(row, begin), to = std::min(row + width, begin + n);
    std::copy_n(values + i * width + (from - row), to - from, buffer + (from - begin));
  }
  return buffer;
}

template const float* Slot::gradient(int64_t, int64_t, float*) const;
template const double* Slot::gradient(int64_t, int64_t, double*) const;

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
    const Tensor& values = slot.sparse ? slot.sparse->values : slot.dense;
    check<DeviceError>(values.device() == parameters[i].device(), op, "parameter ", i, " is on ",
                       parameters[i].device(), ", its gradient on ", values.device());
    check<DtypeError>(values.dtype() == parameters[i].dtype(), op, "parameter ", i, " is ",
                      parameters[i].dtype(), ", its gradient ", values.dtype());
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

Tensor zeros_like(const Tensor& parameter) {
  return Tensor::zeros(parameter.shape(), parameter.dtype(), parameter.device());
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
  for (size_t i = 0; i < kept.size(); ++i)
    if (kept[i]) kept[i] = kept[i].to(parameters[i].device()).to(parameters[i].dtype());
}

template <class T>
std::vector<Parameter<T>> gpu_tensors(const std::vector<Slot>& slots,
                                      const std::vector<Tensor>& first,
                                      const std::vector<Tensor>& second) {
  const auto pointer = [](const std::vector<Tensor>& all, size_t i) {
    return all.empty() ? nullptr : device_data_or_null<T>(all[i]);
  };
  std::vector<Parameter<T>> tensors;
  for (const Slot& slot : slots)
    tensors.push_back({static_cast<T*>(device_data(slot.parameter)),
                       static_cast<const T*>(device_data(slot.dense)), pointer(first, slot.index),
                       pointer(second, slot.index), slot.parameter.numel()});
  return tensors;
}

template std::vector<Parameter<float>> gpu_tensors(const std::vector<Slot>&,
                                                   const std::vector<Tensor>&,
                                                   const std::vector<Tensor>&);
template std::vector<Parameter<double>> gpu_tensors(const std::vector<Slot>&,
                                                    const std::vector<Tensor>&,
                                                    const std::vector<Tensor>&);

}  // namespace normlab::optim
