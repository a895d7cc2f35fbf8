#pragma once

#include <cstdint>
#include <memory>

#include "normlab/tensor.h"

namespace normlab {

/// Counter-based random numbers, Philox4x32-10 (Salmon et al., SC 2011): the i-th number depends
/// on (seed, offset + i) alone, so every number of threads and every device draws the same.
class Generator {
 public:
  explicit Generator(uint64_t seed = 0) : seed_(seed) {}
  Generator(const Generator& from) : seed_(from.seed_), offset_(from.offset_) {}
  Generator& operator=(const Generator& from) {
    set_state(from.seed_, from.offset_);
    return *this;
  }

  uint64_t seed() const { return seed_; }
  /// Philox blocks (of four 32-bit words) drawn so far; {seed, offset} is the whole state.
  uint64_t offset() const { return offset_; }
  void set_state(uint64_t seed, uint64_t offset) {
    seed_ = seed;
    offset_ = offset;
  }
  /// Reserves n blocks and returns the offset of the first.
  uint64_t advance(uint64_t n) {
    const uint64_t first = offset_;
    offset_ += n;
    return first;
  }
  /// Expires with this generator, for graphs that captured its numbers.
  std::weak_ptr<const bool> alive() {
    if (!alive_) alive_ = std::make_shared<const bool>(true);
    return alive_;
  }

 private:
  uint64_t seed_;
  uint64_t offset_ = 0;
  std::shared_ptr<const bool> alive_;  ///< a copy has its own
};

/// This thread's generator: the one that every op draws from unless it is given another.
/// Threads have generators of their own, so two trainings at once do not disturb each other.
Generator& default_generator();
/// Restarts this thread's generator.
void manual_seed(uint64_t seed);

/// Uniform in [low, high), float32 or float64.
Tensor rand(const Shape& shape, double low = 0.0, double high = 1.0, DType dtype = DType::float32,
            Generator& generator = default_generator());
/// Normal with that mean and standard deviation (Box-Muller), float32 or float64.
Tensor randn(const Shape& shape, double mean = 0.0, double std = 1.0, DType dtype = DType::float32,
             Generator& generator = default_generator());
/// Integers uniform in [low, high), int64. ArgumentError unless low < high.
Tensor randint(int64_t low, int64_t high, const Shape& shape,
               Generator& generator = default_generator());
/// 0 .. n-1 in random order (Fisher-Yates), int64 [n].
Tensor permutation(int64_t n, Generator& generator = default_generator());

}  // namespace normlab
