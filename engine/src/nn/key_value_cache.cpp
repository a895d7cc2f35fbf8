#include "nn/key_value_cache.h"

#include <algorithm>

#include "ops/segments.h"

namespace normlab::nn {
namespace {

/// Tokens that a cache has room for: whole vectors, and twice as many each time.
int64_t enough_for(int64_t tokens, int64_t now) {
  constexpr int64_t kLeast = 64;
  int64_t capacity = std::max(now, kLeast);
  while (capacity < tokens) capacity *= 2;
  return capacity;
}

/// Checks offsets of the rows of x, and returns the lengths. On the GPU that waits for it.
std::vector<int64_t> lengths_of(const char* op, const Tensor& given, const Tensor& x,
                                const char* name) {
  const Tensor offsets = given.to(Device::cpu);
  check_offsets(op, given, x, name);
  check_offset_values(op, offsets, x.size(0), name);
  const int64_t* at = offsets.data<int64_t>();
  std::vector<int64_t> lengths;
  for (int64_t s = 0; s + 1 < offsets.numel(); ++s) lengths.push_back(at[s + 1] - at[s]);
  return lengths;
}

/// So many sentences without a token, each in a slot of its own.
CachedSentences new_sentences(int64_t count) {
  CachedSentences made;
  for (int64_t s = 0; s < count; ++s) made.slot.push_back(s);
  made.length.assign(static_cast<size_t>(count), 0);
  made.slots = count;
  return made;
}

void check_owner(const char* op, const KeyValueCache::State& state,
                 const TransformerOptions& options, const Tensor& x) {
  const auto layers = static_cast<int64_t>(state.layers.size());
  check<ArgumentError>(
      layers == options.layers && state.size == options.size && state.heads == options.heads &&
          state.dtype == x.dtype() && state.device == x.device(),
      op, "the cache is another module's, of ", layers, " layers of size ", state.size, " with ",
      state.heads, " heads, ", state.dtype, " on ", state.device, "; make one for this");
}

/// Slots for the sentences `index`: those that stay keep theirs, repeated ones get free ones or
/// share theirs. Returns the copies to make.
std::vector<std::pair<int64_t, int64_t>> take_slots(CachedSentences& sentences,
                                                    const std::vector<int64_t>& index, bool share) {
  std::vector<std::pair<int64_t, int64_t>> copies;
  std::vector<int64_t> slot, length, free, repeated;
  std::vector<bool> used(static_cast<size_t>(sentences.slots));
  for (size_t i = 0; i < index.size(); ++i) {
    const auto from = static_cast<size_t>(index[i]);
    slot.push_back(sentences.slot[from]);
    length.push_back(sentences.length[from]);
    const auto at = static_cast<size_t>(slot[i]);
    if (used[at] && !share) repeated.push_back(static_cast<int64_t>(i));
    used[at] = true;
  }
  for (size_t k = used.size(); k-- > 0;)
    if (!used[k]) free.push_back(static_cast<int64_t>(k));
  for (const int64_t i : repeated) {
    if (free.empty()) free.push_back(sentences.slots++);
    copies.emplace_back(slot[static_cast<size_t>(i)], free.back());
    slot[static_cast<size_t>(i)] = free.back();
    free.pop_back();
  }
  sentences.slot = slot;
  sentences.length = length;
  return copies;
}

}  // namespace

KeyValueCache::KeyValueCache() : state_(std::make_unique<State>()) {}
KeyValueCache::~KeyValueCache() = default;

const std::vector<int64_t>& KeyValueCache::lengths() const {
  static const std::vector<int64_t> none;
  return state_->started ? state_->sentences.length : none;
}

void KeyValueCache::take(const std::vector<int64_t>& index) {
  const auto count = static_cast<int64_t>(lengths().size());
  for (const int64_t i : index)
    check<RangeError>(i >= 0 && i < count, "KeyValueCache.take", "index must be in [0, ", count,
                      "), the number of its sentences, got ", i);
  const auto copies = take_slots(state_->sentences, index, false);
  if (!state_->memory.slot.empty()) take_slots(state_->memory, index, true);
  for (CachedLayer& layer : state_->layers) {
    if (!layer.own.empty()) layer.own.reserve(state_->sentences);
    for (const auto& [from, to] : copies) layer.own.copy(from, to);
  }
}

CachedCall::CachedCall(const char* op, KeyValueCache& cache, const TransformerOptions& options,
                       const Tensor& x, const Tensor& offsets)
    : op_(op), state_(cache.state()) {
  check<ArgumentError>(options.causal, op, "a cache needs causal attention; make it with causal");
  check<ArgumentError>(!grad_enabled(), op,
                       "with a cache there are no gradients; call it within nl.no_grad(), in C++ "
                       "with a NoGrad");
  check(x.rank() == 2, op, "x must be [T, D], got ", x.shape());
  std::vector<int64_t> keys = lengths_of(op, offsets, x, "offsets");
  const int64_t count = offsets.numel() - 1;
  if (!state_.started) {
    state_.sentences = new_sentences(count);
    state_.memory = {};
    state_.layers.assign(static_cast<size_t>(options.layers), CachedLayer{&state_, {}, {}});
    state_.size = options.size;
    state_.heads = options.heads;
    state_.dtype = x.dtype();
    state_.device = x.device();
  }
  check_owner(op, state_, options, x);
  const auto own = static_cast<int64_t>(state_.sentences.slot.size());
  check<ArgumentError>(count == own, op, "the cache holds ", own, " sentences, offsets are of ",
                       count, "; take() chooses which to go on with");
  state_.keys = std::move(keys);
  for (size_t s = 0; s < state_.keys.size(); ++s) state_.keys[s] += state_.sentences.length[s];
  int64_t most = 0;
  for (const int64_t n : state_.keys) most = std::max(most, n);
  state_.sentences.capacity = enough_for(most, state_.sentences.capacity);
}

void CachedCall::set_memory(const Tensor& memory, const Tensor& offsets) {
  check<ArgumentError>(!state_.started || state_.memory.slot.size() == state_.keys.size(), op_,
                       "the cache is an encoder's; make one for this");
  if (state_.started) return;
  check<ArgumentError>(memory.defined() && offsets.defined(), op_,
                       "the first call with a cache needs a memory and its offsets");
  check(memory.rank() == 2, op_, "memory must be [M, D], got ", memory.shape());
  const std::vector<int64_t> lengths = lengths_of(op_, offsets, memory, "memory_offsets");
  const auto count = static_cast<int64_t>(state_.keys.size());
  check(offsets.numel() - 1 == count, op_,
        "memory_offsets must be of as many sentences as offsets, ", count, ", got ",
        offsets.numel() - 1);
  state_.memory = new_sentences(count);
  state_.memory.length = lengths;
  int64_t most = 0;
  for (size_t s = 0; s < lengths.size(); ++s) {
    check<ArgumentError>(lengths[s] > 0, op_, "the memory of sentence ", s, " is empty");
    most = std::max(most, lengths[s]);
  }
  state_.memory.capacity = enough_for(most, 0);
}

void CachedCall::succeed() {
  state_.started = true;
  state_.sentences.length = state_.keys;
}

}  // namespace normlab::nn
