#include "nn/key_value_cache.h"
#include "nn/parts.h"

namespace normlab::nn {
namespace {

void check_size(const char* op, int64_t size, int64_t heads) {
  check<ArgumentError>(size > 0 && heads > 0 && size % heads == 0, op,
                       "size must be a positive multiple of heads, got size ", size, " and ", heads,
                       " heads");
}

/// The layer's result for the rows of each sentence alone: the last bits of a product depend on how
/// many rows it has, and what is decoded must not depend on the other sentences.
Tensor each_alone(Linear& layer, const Tensor& x, const std::vector<int64_t>& lengths) {
  std::vector<Tensor> parts;
  int64_t begin = 0;
  for (const int64_t n : lengths) {
    parts.push_back(layer.forward(x.slice(begin, begin + n)));
    begin += n;
  }
  return concat(parts);
}

}  // namespace

// --- self-attention ---------------------------------------------------------------------------

SelfAttention::SelfAttention(int64_t size, int64_t heads, bool causal)
    : heads_(heads), causal_(causal) {
  check_size("SelfAttention", size, heads);
  register_module("qkv", std::make_shared<Linear>(size, 3 * size));
  register_module("out", std::make_shared<Linear>(size, size));
}

void SelfAttention::on_register(const std::string& name, const std::shared_ptr<Module>& module) {
  if (name == "qkv") take_module(name, module, qkv_, "Linear");
  if (name == "out") take_module(name, module, out_, "Linear");
}

Tensor SelfAttention::forward(const Tensor& x) {
  return forward(x, offsets_of("SelfAttention", x));
}

Tensor SelfAttention::forward(const Tensor& x, const Tensor& offsets) {
  return out_->forward(attention(qkv_->forward(x), offsets, heads_, causal_));
}

Tensor SelfAttention::forward(const Tensor& x, const Tensor& offsets, CachedLayer& cache) {
  const KeyValueCache::State& all = *cache.cache;
  const Tensor qkv = qkv_->forward(x);
  cache.own.append(qkv, offsets, heads_, size(), all.sentences);
  return out_->forward(cache.own.attend(qkv, offsets, all.sentences.slot, all.keys, true));
}

// --- cross-attention --------------------------------------------------------------------------

CrossAttention::CrossAttention(int64_t size, int64_t heads) : heads_(heads) {
  check_size("CrossAttention", size, heads);
  register_module("query", std::make_shared<Linear>(size, size));
  register_module("key_value", std::make_shared<Linear>(size, 2 * size));
  register_module("out", std::make_shared<Linear>(size, size));
}

void CrossAttention::on_register(const std::string& name, const std::shared_ptr<Module>& module) {
  if (name == "query") take_module(name, module, query_, "Linear");
  if (name == "key_value") take_module(name, module, key_value_, "Linear");
  if (name == "out") take_module(name, module, out_, "Linear");
}

Tensor CrossAttention::forward(const Tensor&) {
  needs_memory("CrossAttention");
}

Tensor CrossAttention::forward(const Tensor& x, const Tensor& memory, const Tensor& offsets,
                               const Tensor& memory_offsets) {
  return out_->forward(cross_attention(query_->forward(x), key_value_->forward(memory), offsets,
                                       memory_offsets, heads_));
}

Tensor CrossAttention::forward(const Tensor& x, const Tensor& memory, const Tensor& offsets,
                               const Tensor& memory_offsets, CachedLayer& cache) {
  const CachedSentences& place = cache.cache->memory;
  if (cache.memory.empty()) {
    CachedSentences beginning = place;
    beginning.length.assign(place.length.size(), 0);
    const Tensor projected = each_alone(*key_value_, memory, place.length);
    cache.memory.append(projected, memory_offsets, heads_, size(), beginning);
  }
  const Tensor q = query_->forward(x);
  return out_->forward(cache.memory.attend(q, offsets, place.slot, place.length, false));
}

}  // namespace normlab::nn
