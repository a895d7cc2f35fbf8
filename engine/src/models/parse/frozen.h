#pragma once

#include <span>

#include "cpu/isa.h"
#include "normlab/parse.h"

namespace normlab {

/// Rows are padded to a multiple of this: the longest vectors of any instruction set.
inline constexpr int64_t kFrozenLanes = 16;

struct FrozenKernels {
  /// c [M, N] = a [M, K] b [K, N]. The rows of b and c begin `width` floats apart, a multiple of
  /// kFrozenLanes. A row of c does not depend on the others.
  void (*product)(const float* a, const float* b, int64_t M, int64_t N, int64_t K, int64_t width,
                  float* c);
  /// z = base + rows[0] + rows[1] + ..., in that order; z may be one of them.
  void (*sum)(const float* base, const float* const* rows, int64_t count, int64_t width, float* z);
};

NORMLAB_KERNEL_TABLE(FrozenKernels, frozen_kernels)

}  // namespace normlab

namespace normlab::parse {

/// Rows of a table that can stand at a position; the first is "nothing".
struct RowRange {
  int32_t first, count;
};

/// A copy of a network's weights for many questions: logits of a row of features are the same bits
/// in any company, and the products of frequent features with the hidden layer's weights are
/// there already.
///
/// Every position's "nothing" is part of the bias, all else a difference to it: half of the
/// parser's features are nothing, and cost nothing.
class FrozenNetwork {
 public:
  /// `known`: of each position, what is computed in advance. A wider range changes no bit.
  FrozenNetwork(const Network& network, std::span<const RowRange> known);
  /// features int32 [n, features], rows of the table -> [n, classes and padding]. Threads may share
  /// it.
  Tensor logits(const Tensor& features) const;

 private:
  struct Unknown;
  void compute_known();
  Tensor hidden_of_sums(const int32_t* rows, int64_t n) const;
  Tensor hidden_of_rows(const int32_t* rows, int64_t n) const;
  void products_of(std::span<const Unknown> pairs, float* products) const;

  int64_t positions_, embedding_, hidden_, width_, class_width_;
  HiddenActivation activation_;
  std::shared_ptr<nn::Norm> input_norm_, norm_;
  Tensor table_;                 // [rows, E]
  Tensor weight_;                // [P, E, width]
  Tensor base_;                  // [width]: the bias and every position's nothing
  Tensor output_, output_bias_;  // [H, class_width], [class_width]
  std::vector<RowRange> known_;
  std::vector<int64_t> known_begins_;  // row of known_products_ for the first of each range
  Tensor known_products_;              // [all known, width]
};

}  // namespace normlab::parse
