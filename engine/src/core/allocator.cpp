#include "core/allocator.h"

#include <atomic>
#include <bit>
#include <cstdlib>
#include <map>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "core/gpu.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace normlab {
namespace {

constexpr int64_t kAlignment = 64;
constexpr int64_t kHugePage = 2 << 20;
constexpr int64_t kLarge = 64 << 10;

/// Sizes are rounded up to eight steps a power of two: at most 12.5 % waste, and the blocks of one
/// training step find each other again in the next.
int64_t size_class(int64_t bytes) {
  if (bytes <= 8 * kAlignment) {
    const int64_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    return rounded > 0 ? rounded : kAlignment;
  }
  const int64_t step = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(bytes - 1))) / 8;
  return (bytes + step - 1) / step * step;
}

void* from_system(int64_t size) {
  const bool huge = size >= kHugePage;
  const int64_t alignment = huge ? kHugePage : kAlignment;
  const int64_t padded = (size + alignment - 1) / alignment * alignment;
  void* block = std::aligned_alloc(static_cast<size_t>(alignment), static_cast<size_t>(padded));
#if defined(__linux__)
  // One page-table entry for 2 MB instead of 512: large tensors are bound by such misses otherwise.
  if (block && huge) madvise(block, static_cast<size_t>(padded), MADV_HUGEPAGE);
#endif
  return block;
}

/// What a cache takes its blocks from.
struct Source {
  void* (*allocate)(int64_t size);  ///< null: no memory
  void (*release)(void* block);
};

}  // namespace

/// Blocks by size.
struct GpuPool::Bins {
  std::map<int64_t, std::vector<void*>> blocks;

  /// The least block that is large enough, but a large request must not waste much: so batches
  /// whose sizes change from step to step share their blocks.
  Block take(int64_t size) {
    const int64_t most = size < kLarge ? size : size + size / 2;
    for (auto bin = blocks.lower_bound(size); bin != blocks.end() && bin->first <= most; ++bin) {
      if (bin->second.empty()) continue;
      const Block block = {bin->second.back(), bin->first};
      bin->second.pop_back();
      return block;
    }
    return {};
  }
  void give(Block block) { blocks[block.bytes].push_back(block.data); }
};

namespace {

using Bins = GpuPool::Bins;

class Cache {
 public:
  explicit Cache(const Source& source) : source_(source) {}

  /// From the pool first, if one is given; it keeps what the block becomes.
  Block take(int64_t size, Bins* pool) {
    const std::lock_guard lock(mutex_);
    if (pool)
      if (const Block block = pool->take(size); block.data) return block;
    Block block = cached_.take(size);
    if (block.data)
      stats_.cached -= block.bytes;
    else
      block = fresh(size, pool == nullptr);
    if (!block.data) return {};
    if (pool) owners_[block.data] = pool;
    stats_.in_use += block.bytes;
    if (stats_.in_use > stats_.peak) stats_.peak = stats_.in_use;
    return block;
  }

  void give(Block block) noexcept {
    const std::lock_guard lock(mutex_);
    const auto owner = owners_.find(block.data);
    const bool pooled = owner != owners_.end();
    if (!pooled) stats_.in_use -= block.bytes;
    try {
      (pooled ? *owner->second : cached_).give(block);
      if (!pooled) stats_.cached += block.bytes;
    } catch (...) {  // no memory for the list itself; a graph goes on using its block
      if (!pooled) source_.release(block.data);
    }
  }

  /// The end of a pool.
  void dissolve(Bins& pool) noexcept {
    {
      const std::lock_guard lock(mutex_);
      std::erase_if(owners_, [&](const auto& entry) { return entry.second == &pool; });
    }
    for (const auto& [size, blocks] : pool.blocks)
      for (void* block : blocks) give({block, size});
  }

  void clear() {
    const std::lock_guard lock(mutex_);
    release();
  }

  std::mutex& lock() { return mutex_; }

  MemoryStats stats() {
    const std::lock_guard lock(mutex_);
    return stats_;
  }

 private:
  Block fresh(int64_t size, bool may_release) {
    Block block = {source_.allocate(size), size};
    if (!block.data && may_release) {
      release();
      block.data = source_.allocate(size);
    }
    if (block.data) ++stats_.system_calls;
    return block;
  }

  void release() {
    for (auto& [size, bin] : cached_.blocks) {
      for (void* block : bin) source_.release(block);
      bin.clear();
    }
    stats_.cached = 0;
  }

  Source source_;
  std::mutex mutex_;
  Bins cached_;
  std::unordered_map<void*, Bins*> owners_;  ///< of the blocks that belong to pools
  MemoryStats stats_;
};

thread_local Bins* pool_in_use = nullptr;

// Never destroyed: tensors in static variables may outlive every other static.
Cache& cpu_cache() {
  static Cache* instance = new Cache({from_system, [](void* block) { std::free(block); }});
  return *instance;
}
Cache& gpu_cache() {
  static Cache* instance = new Cache({cuda::allocate_on_device, cuda::release_on_device});
  return *instance;
}
Cache& cache(Device device) {
  return device == Device::cpu ? cpu_cache() : gpu_cache();
}

[[noreturn]] void fail_for(int64_t bytes, Device device) {
  const MemoryStats stats = cache(device).stats();
  if (device == Device::cpu)
    fail<OutOfMemoryError>("allocate", "the system has no ", bytes,
                           " bytes left; in use by tensors: ", stats.in_use);
  int64_t free = 0, total = 0;
  cuda::device_memory(free, total);
  fail<OutOfMemoryError>("allocate", "the GPU has no ", bytes, " bytes left; of its ", total, ", ",
                         free, " are free, ", stats.in_use, " in use by tensors and ", stats.cached,
                         " cached");
}

/// How many allocations are left up to the one that is to fail; 0 or less if none is.
std::atomic<int64_t> until_failure = 0;

bool is_to_fail() {
  return until_failure.load(std::memory_order_relaxed) > 0 && until_failure.fetch_sub(1) == 1;
}

}  // namespace

extern "C" int64_t normlab_fail_allocation(int64_t n) {
  return until_failure.exchange(n);
}

Block allocate(int64_t bytes, Device device) {
  if (is_to_fail()) [[unlikely]]
    fail_for(bytes, device);
  Bins* pool = device == Device::cuda ? pool_in_use : nullptr;
  Block block = cache(device).take(size_class(bytes), pool);
  if (!block.data && device == Device::cuda && cuda::reclaim_memory())
    block = cache(device).take(size_class(bytes), pool);
  if (!block.data) fail_for(bytes, device);
  return block;
}

std::mutex& allocator_lock(Device device) {
  return cache(device).lock();
}

void deallocate(Block block, Device device) noexcept {
  cache(device).give(block);
}

GpuPool::GpuPool() : bins_(std::make_unique<Bins>()) {}
GpuPool::~GpuPool() {
  gpu_cache().dissolve(*bins_);
}

GpuPool::Use::Use(GpuPool& pool) {
  pool_in_use = pool.bins_.get();
}
GpuPool::Use::~Use() {
  pool_in_use = nullptr;
}

MemoryStats memory_stats() {
  return cpu_cache().stats();
}

void empty_cache() {
  cpu_cache().clear();
}

MemoryStats cuda::memory_stats() {
  check_available();
  return gpu_cache().stats();
}

void cuda::empty_cache() {
  synchronize();
  gpu_cache().clear();
}

}  // namespace normlab
