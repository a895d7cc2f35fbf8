#pragma once

#include <cstdint>

#include "cpu/isa.h"

namespace normlab {

/// Numbers that a thread draws at once: a multiple of every batch of words.
inline constexpr int64_t kRandomBlock = 4096;

/// A seed's stream from one block on, as kernels need it.
struct Stream {
  uint64_t seed, block;
  /// From number i on, of numbers of which a block gives `per_block`.
  Stream from(int64_t i, int per_block) const {
    return {seed, block + static_cast<uint64_t>(i / per_block)};
  }
};

/// Loops that draw n numbers: float32, four a block, or 64-bit words, two a block.
struct RandomKernels {
  void (*words)(Stream stream, uint64_t* z, int64_t n);
  void (*uniform)(Stream stream, float low, float high, float* z, int64_t n);
  void (*normal)(Stream stream, float mean, float std, float* z, int64_t n);
};
NORMLAB_KERNEL_TABLE(RandomKernels, random_kernels)

}  // namespace normlab
