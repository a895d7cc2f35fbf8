#include "ops/attention_cache.h"

#include <cmath>
#include <cstring>

#include "core/bfloat16.h"
#include "core/dispatch.h"
#include "core/tensor_impl.h"
#include "cuda/library.h"
#include "ops/attention_cuda.h"
#include "ops/attention_run.h"

namespace normlab {
namespace {

/// What the kernels take for x: float32, rounded where products are bfloat16's, or float64.
Tensor for_products(const Tensor& x) {
  return multiplies_bfloat16(x.dtype()) ? rounded_to_bfloat16(x) : x;
}

/// x [slots, 1, rows, columns] on the GPU with more slots or rows.
Tensor enlarged_on_gpu(const Tensor& x, const Shape& shape) {
  Tensor z = Tensor::zeros(shape, x.dtype(), Device::cuda);
  for (int64_t slot = 0; slot < x.size(0) && x.size(2) > 0; ++slot)
    z[slot][0].slice(0, x.size(2)).copy_(x[slot][0]);
  return z;
}

/// x [slots, n, rows, columns] with more slots, rows or columns, which are zero.
Tensor enlarged(const Tensor& x, const Shape& shape) {
  Tensor z = Tensor::zeros(shape, x.dtype());
  const int64_t size = size_of(x.dtype()), run = x.size(3) * size;
  const auto* from = static_cast<const char*>(x.raw());
  auto* to = static_cast<char*>(z.raw());
  for (int64_t block = 0; block < x.size(0) * x.size(1); ++block)
    for (int64_t row = 0; row < x.size(2); ++row)
      std::memcpy(to + (block * shape[2] + row) * shape[3] * size,
                  from + (block * x.size(2) + row) * run, static_cast<size_t>(run));
  return z;
}

}  // namespace

void KeyValues::reserve(const CachedSentences& sentences) {
  const int64_t slots = sentences.slots, capacity = sentences.capacity, size = heads_ * depth_;
  const bool on_gpu = keys_.device() == Device::cuda;
  const Shape keys =
      on_gpu ? Shape{slots, 1, capacity, 2 * size} : Shape{slots, heads_, depth_, capacity};
  if (keys_.shape() == keys) return;
  keys_ = on_gpu ? enlarged_on_gpu(keys_, keys) : enlarged(keys_, keys);
  if (!on_gpu) values_ = enlarged(values_, {slots, heads_, capacity, padded_to_vectors(depth_)});
}

namespace {

/// Storage and place of one sentence's head.
template <class T>
struct Place {
  T *keys, *values;
  int64_t capacity, step;
};
template <class T>
Place<T> place_of(const Tensor& keys, const Tensor& values, int64_t slot, int64_t head) {
  const int64_t capacity = keys.size(3), step = values.size(3);
  const int64_t at = slot * keys.size(1) + head;
  return {static_cast<T*>(keys.raw()) + at * keys.size(2) * capacity,
          static_cast<T*>(values.raw()) + at * capacity * step, capacity, step};
}

template <class T>
void write_rows(const Place<T>& to, int64_t position, const T* key, const T* value,
                int64_t row_step, int64_t rows, int64_t depth) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t d = 0; d < depth; ++d)
      to.keys[d * to.capacity + position + i] = key[i * row_step + d];
    std::copy_n(value + i * row_step, depth, to.values + (position + i) * to.step);
  }
}

}  // namespace

void KeyValues::append(const Tensor& kv, const Tensor& offsets, int64_t heads, int64_t size,
                       const CachedSentences& sentences) {
  const bool on_gpu = kv.device() == Device::cuda;
  const Tensor from = on_gpu ? kv : for_products(kv);
  if (empty()) {
    heads_ = heads;
    depth_ = size / heads;
    if (on_gpu)
      keys_ = Tensor::empty({0, 1, 0, 2 * size}, kv.dtype(), Device::cuda);
    else
      keys_ = Tensor::empty({0, heads_, depth_, 0}, from.dtype());
    values_ = Tensor::empty({0, heads_, 0, padded_to_vectors(depth_)}, from.dtype());
  }
  reserve(sentences);
  if (on_gpu) return append_on_gpu(kv, offsets, sentences);
  const int64_t *at = offsets.data<int64_t>(), step = kv.size(1);
  const auto count = static_cast<int64_t>(sentences.slot.size());
  const int64_t cost = kv.size(0) * size / std::max<int64_t>(count * heads, 1);
  dispatch_floating("KeyValueCache", from.dtype(), [&]<class T>() {
    const T* rows = from.data<T>();
    parallel_for(count * heads, cost, [&](int64_t job) {
      const int64_t s = job / heads, head = job % heads;
      const T* value = rows + at[s] * step + step - size + head * depth_;
      const auto i = static_cast<size_t>(s);
      write_rows(place_of<T>(keys_, values_, sentences.slot[i], head), sentences.length[i],
                 value - size, value, step, at[s + 1] - at[s], depth_);
    });
  });
}

void KeyValues::copy(int64_t from, int64_t to) {
  if (empty()) return;
  if (keys_.device() == Device::cuda) return keys_[to].copy_(keys_[from]);
  for (const Tensor& x : {keys_, values_}) {
    const int64_t bytes = x.shape().numel(1, 4) * size_of(x.dtype());
    auto* data = static_cast<char*>(x.raw());
    std::memcpy(data + to * bytes, data + from * bytes, static_cast<size_t>(bytes));
  }
}

Tensor KeyValues::attend(const Tensor& q, const Tensor& offsets, const std::vector<int64_t>& slot,
                         const std::vector<int64_t>& keys, bool causal) const {
  if (q.device() == Device::cuda) return attend_on_gpu(q, offsets, slot, keys, causal);
  const Tensor from = for_products(q);
  const int64_t rows = q.size(0), size = heads_ * depth_, step = q.size(1);
  const Tensor z = Tensor::empty({rows, size}, from.dtype());
  const Tensor log_sum = Tensor::empty({heads_, rows}, from.dtype());
  const int64_t* at = offsets.data<int64_t>();
  const auto sentences = static_cast<int64_t>(slot.size());
  const int64_t each = rows / std::max<int64_t>(sentences, 1) + 1;
  dispatch_floating("KeyValueCache", from.dtype(), [&]<class T>() {
    run_heads<T>(sentences, heads_, each * keys_.size(3) * depth_ / 4, [&](int64_t job) {
      const int64_t s = job / heads_, head = job % heads_, column = head * depth_;
      const Place<const T> place =
          place_of<const T>(keys_, values_, slot[static_cast<size_t>(s)], head);
      AttentionHead<T> h;
      h.queries = at[s + 1] - at[s];
      h.keys = keys[static_cast<size_t>(s)];
      h.depth = depth_;
      h.causal = causal;
      h.scale = static_cast<T>(1 / std::sqrt(static_cast<double>(depth_)));
      h.q = {from.data<T>() + at[s] * step + column, step};
      h.k = {place.keys, 1, place.capacity};
      h.v = {place.values, place.step, 1, true};
      h.z = {static_cast<T*>(z.raw()) + at[s] * size + column, size};
      h.log_sum = static_cast<T*>(log_sum.raw()) + head * rows + at[s];
      h.bfloat16_products = multiplies_bfloat16(q.dtype());
      return h;
    });
  });
  return z.to(q.dtype());
}

// --- on the GPU -------------------------------------------------------------------------------

namespace {

/// The rows of the cache that the first of each sentence are: slot * capacity, and further.
Tensor rows_on_gpu(const std::vector<int64_t>& slot, const std::vector<int64_t>& further,
                   int64_t capacity) {
  std::vector<int64_t> rows(slot.size());
  for (size_t s = 0; s < slot.size(); ++s) rows[s] = slot[s] * capacity + further[s];
  return Tensor::of({static_cast<int64_t>(rows.size())}, rows).to(Device::cuda);
}
const int64_t* integers(const Tensor& x) {
  return static_cast<const int64_t*>(device_data(x));
}

}  // namespace

void KeyValues::append_on_gpu(const Tensor& kv, const Tensor& offsets,
                              const CachedSentences& sentences) {
  const int64_t size = heads_ * depth_, step = kv.size(1);
  const Tensor to = rows_on_gpu(sentences.slot, sentences.length, keys_.size(2));
  cuda::AppendArgs args{};
  args.dtype = kv.dtype();
  args.offsets = integers(offsets);
  args.to = integers(to);
  args.rows = kv.size(0);
  args.sentences = to.numel();
  args.size = size;
  args.kv = static_cast<const char*>(device_data(kv)) + (step - 2 * size) * size_of(kv.dtype());
  args.step = step;
  args.cache = device_data(keys_);
  cuda::call("KeyValueCache", cuda::backend().attention->append, args);
}

Tensor KeyValues::attend_on_gpu(const Tensor& q, const Tensor& offsets,
                                const std::vector<int64_t>& slot, const std::vector<int64_t>& keys,
                                bool causal) const {
  const int64_t rows = q.size(0), size = heads_ * depth_, capacity = keys_.size(2);
  const Tensor z = Tensor::empty({rows, size}, q.dtype(), Device::cuda);
  const Tensor log_sum = Tensor::empty({heads_, rows}, computed_in(q.dtype()), Device::cuda);
  const Tensor begin = rows_on_gpu(slot, std::vector<int64_t>(slot.size()), capacity);
  const Tensor end = rows_on_gpu(slot, keys, capacity);
  cuda::AttentionArgs args{};
  args.dtype = q.dtype();
  args.offsets = integers(offsets);
  args.key_begin = integers(begin);
  args.key_end = integers(end);
  args.rows = rows;
  args.sentences = begin.numel();
  args.heads = heads_;
  args.depth = depth_;
  args.causal = causal;
  args.scale = 1 / std::sqrt(static_cast<double>(depth_));
  args.q = device_data(q);
  args.k = device_data(keys_);
  args.v = static_cast<const char*>(args.k) + size * size_of(q.dtype());
  args.q_step = q.size(1);
  args.kv_step = 2 * size;
  args.z = device_data(z);
  args.log_sum = device_data(log_sum);
  args.check = cuda::value_check("KeyValueCache", offsets.shape(), rows);
  cuda::call("KeyValueCache", cuda::backend().attention->forward, args);
  return z;
}

}  // namespace normlab
