#pragma once

#include <csignal>
#include <dnnl.hpp>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "core/allocator.h"
#include "cpu/fork.h"
#include "cpu/parallel.h"

// oneDNN as the engine uses it: every primitive runs on the thread that calls it, and the engine's
// own loops over fixed blocks spread the calls. So no sum depends on the number of threads.
namespace normlab::onednn {

const dnnl::engine& engine();
/// This thread's stream.
dnnl::stream& stream();
/// Data that lie as desc says; a primitive's operands are not const.
dnnl::memory at(const dnnl::memory::desc& desc, const void* data);

/// While it lives, oneDNN uses the calling thread alone: to plan a primitive as well as to run it.
class SingleThread {
 public:
  SingleThread();
  ~SingleThread();
  SingleThread(const SingleThread&) = delete;
  SingleThread& operator=(const SingleThread&) = delete;

 private:
  int before_;
};

/// While it lives, signals wait that come from outside of the calling thread. oneDNN's products of
/// matrices work with the stack pointer in a block of the heap (jit_avx512_common_gemm_f32.cpp and
/// jit_avx_gemm_f32.cpp, where K is beyond what they keep on the stack): a handler that ran
/// meanwhile would write its frame over whatever lies before that block.
class SignalsWait {
 public:
  SignalsWait();
  ~SignalsWait();
  SignalsWait(const SignalsWait&) = delete;
  SignalsWait& operator=(const SignalsWait&) = delete;

 private:
  sigset_t before_;
};

/// Rethrows the current exception, as one of the engine's if it is oneDNN's.
[[noreturn]] void rethrow(const char* op);

/// Memory for one call, from the engine's allocator.
class Scratch {
 public:
  explicit Scratch(int64_t bytes) : block_(allocate(bytes)) {}
  ~Scratch() { deallocate(block_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  template <class T = void>
  T* as() const {
    return static_cast<T*>(block_.data);
  }

 private:
  Block block_;
};

/// parallel_for() whose body may throw and may call oneDNN: the first exception comes out when all
/// threads are done.
template <class Body>
void parallel_for(const char* op, int64_t n, int64_t cost, const Body& body) {
  std::mutex mutex;
  std::exception_ptr first;
  const InOneDnn in_onednn;
  normlab::parallel_for(n, cost, [&](int64_t i) {
    try {
      const SingleThread single;
      body(i);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!first) first = std::current_exception();
    }
  });
  if (!first) return;
  try {
    std::rethrow_exception(first);
  } catch (...) {
    rethrow(op);
  }
}

/// What a primitive was made for: kind, lengths, options.
using Key = std::vector<int64_t>;

/// Compiled primitives by key, shared by all threads, to be used where InOneDnn lives. It is
/// emptied when it is full: a program with that many shapes has long stopped using most of them.
template <class Compiled>
class Cache {
 public:
  template <class Make>
  std::shared_ptr<const Compiled> get(const char* op, const Key& key, const Make& make) {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(key);
    if (found != entries_.end()) return found->second;
    if (entries_.size() >= kMost) entries_.clear();
    try {
      const SingleThread single;
      return entries_.emplace(key, std::make_shared<const Compiled>(make())).first->second;
    } catch (...) {
      rethrow(op);
    }
  }

 private:
  static constexpr size_t kMost = 512;
  std::mutex mutex_;
  std::map<Key, std::shared_ptr<const Compiled>> entries_;
};

}  // namespace normlab::onednn
