#pragma once

#include <initializer_list>

#include "core/joined_axes.h"
#include "normlab/tensor.h"

namespace normlab {

/// An operand of one block of a kernel's result: an array, or one element that stands for all.
struct LoopOperand {
  const void* data;
  bool scalar;

  template <class T>
  const T* as() const {
    return static_cast<const T*>(data);
  }
};

/// Joint axes of a result of that shape and of operands that broadcast to it.
JoinedAxes broadcast_axes(const Shape& shape, std::initializer_list<const Tensor*> operands);

/// A loop over a result of some shape in fixed blocks, with operands that broadcast to it. A
/// block's operand is read in place where it can be, else from a copy small enough for the L1.
class BroadcastLoop {
 public:
  static constexpr int kMaxOperands = JoinedAxes::kMaxTensors;

  /// The operands must broadcast to `shape`, and outlive the loop.
  BroadcastLoop(const Shape& shape, std::initializer_list<const Tensor*> operands);
  BroadcastLoop(const BroadcastLoop&) = delete;
  BroadcastLoop& operator=(const BroadcastLoop&) = delete;

  /// Calls body(begin, n, operands) for every block [begin, begin + n) of the result. `cost` is
  /// the work of one element. body must not throw.
  template <class Body>
  void run(int64_t cost, const Body& body) const {
    run_blocks(cost, &body,
               [](const void* b, int64_t begin, int64_t n, const LoopOperand* operands) {
                 (*static_cast<const Body*>(b))(begin, n, operands);
               });
  }

 private:
  static constexpr int64_t kCopied = 1024;   ///< elements of a block that may need copies
  static constexpr int64_t kInPlace = 4096;  ///< elements of a block that needs none
  static constexpr int64_t kLongRow = 256;   ///< rows from here on are blocks of their own

  /// An operand, with its steps along the joint axes.
  struct Source {
    const char* data;
    int64_t item;
    const int64_t* steps;
    bool contiguous, scalar;
  };

  using Block = void (*)(const void* body, int64_t begin, int64_t n, const LoopOperand* operands);

  void run_blocks(int64_t cost, const void* body, Block call) const;
  void classify(Source& source) const;
  int64_t length(int64_t block) const;
  int64_t row_block(int64_t i, LoopOperand* operands) const;
  int64_t flat_block(int64_t i, LoopOperand* operands,
                     char (*copies)[kCopied * sizeof(double)]) const;
  template <class T>
  void copy(const Source& source, int64_t begin, int64_t n, T* out) const;
  template <class T>
  void repeat(const Source& source, int64_t begin, int64_t n, T* out) const;

  JoinedAxes axes_;
  Source sources_[kMaxOperands] = {};
  int64_t numel_;
  bool in_rows_ = true;  ///< each block lies within one run of the innermost axis
  int64_t blocks_per_row_ = 1, blocks_ = 0, block_ = 1;
};

/// x summed over the axes along which `shape` was broadcast to x's shape: what a broadcast
/// operand's gradient is. Not recorded.
Tensor sum_to(const Tensor& x, const Shape& shape);

}  // namespace normlab
