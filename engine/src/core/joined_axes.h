#pragma once

#include "normlab/tensor.h"

namespace normlab {

/// How a loop over up to three tensors walks: axes innermost first, with each tensor's steps in
/// elements; neighbouring axes that no tensor tells apart are one.
struct JoinedAxes {
  static constexpr int kMaxTensors = 3;

  int rank = 0, tensors = 0;
  int64_t lengths[Shape::kMaxRank] = {};
  int64_t steps[kMaxTensors][Shape::kMaxRank] = {};

  /// Adds the next axis outwards, with one step a tensor.
  void add(int64_t length, const int64_t* step) {
    const int inner = rank - 1;
    bool joins = rank > 0;
    for (int k = 0; k < tensors; ++k) joins = joins && step[k] == steps[k][inner] * lengths[inner];
    if (joins) {
      lengths[inner] *= length;
      return;
    }
    for (int k = 0; k < tensors; ++k) steps[k][rank] = step[k];
    lengths[rank++] = length;
  }
  /// One axis of one element, where there is none.
  void finish() {
    if (rank > 0) return;
    for (int k = 0; k < tensors; ++k) steps[k][0] = 1;
    lengths[rank++] = 1;
  }
  int64_t numel() const {
    int64_t n = 1;
    for (int axis = 0; axis < rank; ++axis) n *= lengths[axis];
    return n;
  }
};

}  // namespace normlab
