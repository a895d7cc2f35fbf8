#pragma once

#include "normlab/nn.h"
#include "ops/attention_cache.h"

namespace normlab::nn {

/// What a layer keeps; the places are the cache's.
struct CachedLayer {
  const KeyValueCache::State* cache;
  KeyValues own, memory;
};

struct KeyValueCache::State {
  CachedSentences sentences, memory;
  std::vector<int64_t> keys;  ///< of each sentence with the tokens of the call that runs
  std::vector<CachedLayer> layers;
  int64_t size = 0, heads = 0;  ///< of the module that it belongs to
  DType dtype = DType::float32;
  Device device = Device::cpu;
  bool started = false;  ///< a call has succeeded
};

/// One call of a module with a cache: checks what came, and keeps it if the call succeeds.
class CachedCall {
 public:
  CachedCall(const char* op, KeyValueCache& cache, const TransformerOptions& options,
             const Tensor& x, const Tensor& offsets);
  /// The memory that the first call must bring.
  void set_memory(const Tensor& memory, const Tensor& offsets);
  CachedLayer& layer(size_t i) { return state_.layers[i]; }
  void succeed();

 private:
  const char* op_;
  KeyValueCache::State& state_;
};

}  // namespace normlab::nn
