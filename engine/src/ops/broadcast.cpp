#include "ops/broadcast.h"

#include <algorithm>

#include "cpu/parallel.h"
#include "normlab/ops.h"

namespace normlab {
namespace {

/// Steps in elements along the axes of `shape` (outermost first) of an operand that broadcasts to
/// it: 0 where it has one element for all.
void broadcast_steps(const Shape& operand, const Shape& shape, int64_t* steps) {
  int64_t step = 1;
  for (int i = 1; i <= shape.rank(); ++i) {
    const int64_t length = i <= operand.rank() ? operand[-i] : 1;
    steps[shape.rank() - i] = length == 1 ? 0 : step;
    step *= length;
  }
}

}  // namespace

JoinedAxes broadcast_axes(const Shape& shape, std::initializer_list<const Tensor*> operands) {
  int64_t steps[JoinedAxes::kMaxTensors][Shape::kMaxRank];
  JoinedAxes axes;
  for (const Tensor* x : operands) broadcast_steps(x->shape(), shape, steps[axes.tensors++]);
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    int64_t at_axis[JoinedAxes::kMaxTensors];
    for (int k = 0; k < axes.tensors; ++k) at_axis[k] = steps[k][axis];
    if (shape[axis] != 1) axes.add(shape[axis], at_axis);
  }
  axes.finish();
  return axes;
}

BroadcastLoop::BroadcastLoop(const Shape& shape, std::initializer_list<const Tensor*> operands)
    : axes_(broadcast_axes(shape, operands)), numel_(shape.numel()) {
  int k = 0;
  for (const Tensor* x : operands) {
    Source& source = sources_[k];
    source.data = static_cast<const char*>(x->raw());
    source.item = size_of(x->dtype());
    source.steps = axes_.steps[k++];
    classify(source);
  }
  if (numel_ == 0) return;
  in_rows_ = axes_.rank == 1 || axes_.lengths[0] >= kLongRow;
  block_ = in_rows_ ? std::min(axes_.lengths[0], kInPlace) : std::min(numel_, kCopied);
  blocks_per_row_ = (axes_.lengths[0] + block_ - 1) / block_;
  blocks_ = in_rows_ ? numel_ / axes_.lengths[0] * blocks_per_row_ : (numel_ + block_ - 1) / block_;
}

void BroadcastLoop::run_blocks(int64_t cost, const void* body, Block call) const {
  parallel_for(blocks_, cost * block_, [&](int64_t i) {
    alignas(64) char copies[kMaxOperands][kCopied * sizeof(double)];
    LoopOperand operands[kMaxOperands];
    const int64_t begin = in_rows_ ? row_block(i, operands) : flat_block(i, operands, copies);
    call(body, begin, length(i), operands);
  });
}

void BroadcastLoop::classify(Source& source) const {
  source.contiguous = source.scalar = true;
  int64_t step = 1;
  for (int axis = 0; axis < axes_.rank; ++axis) {
    source.contiguous = source.contiguous && source.steps[axis] == step;
    source.scalar = source.scalar && source.steps[axis] == 0;
    step *= axes_.lengths[axis];
  }
}

int64_t BroadcastLoop::length(int64_t block) const {
  const int64_t whole = in_rows_ ? axes_.lengths[0] : numel_;
  const int64_t begin = (in_rows_ ? block % blocks_per_row_ : block) * block_;
  return std::min(block_, whole - begin);
}

int64_t BroadcastLoop::row_block(int64_t i, LoopOperand* operands) const {
  const int64_t row = i / blocks_per_row_, begin = i % blocks_per_row_ * block_;
  for (int k = 0; k < axes_.tensors; ++k) {
    const Source& source = sources_[k];
    int64_t offset = source.steps[0] * begin, rest = row;
    for (int axis = 1; axis < axes_.rank; ++axis) {
      offset += rest % axes_.lengths[axis] * source.steps[axis];
      rest /= axes_.lengths[axis];
    }
    operands[k] = {source.data + offset * source.item, source.steps[0] == 0};
  }
  return row * axes_.lengths[0] + begin;
}

int64_t BroadcastLoop::flat_block(int64_t i, LoopOperand* operands,
                                  char (*copies)[kCopied * sizeof(double)]) const {
  const int64_t begin = i * block_;
  for (int k = 0; k < axes_.tensors; ++k) {
    const Source& source = sources_[k];
    operands[k] = {source.data + (source.contiguous ? begin * source.item : 0), source.scalar};
    if (source.contiguous || source.scalar) continue;
    operands[k].data = copies[k];
    if (source.item == 8)
      copy(source, begin, length(i), reinterpret_cast<uint64_t*>(copies[k]));
    else if (source.item == 4)
      copy(source, begin, length(i), reinterpret_cast<uint32_t*>(copies[k]));
    else
      copy(source, begin, length(i), reinterpret_cast<uint8_t*>(copies[k]));
  }
  return begin;
}

/// A row that every row of the result repeats: the first time element by element, then doubling.
template <class T>
void BroadcastLoop::repeat(const Source& source, int64_t begin, int64_t n, T* out) const {
  const T* row = reinterpret_cast<const T*>(source.data);
  int64_t done = std::min(axes_.lengths[0], n);
  for (int64_t i = 0, at = begin % axes_.lengths[0]; i < done; ++i) {
    out[i] = row[at];
    if (++at == axes_.lengths[0]) at = 0;
  }
  for (; done < n; done = std::min(2 * done, n))
    std::copy_n(out, std::min(done, n - done), out + done);
}

template <class T>
void BroadcastLoop::copy(const Source& source, int64_t begin, int64_t n, T* out) const {
  if (axes_.rank == 2 && source.steps[1] == 0) return repeat(source, begin, n, out);
  int64_t index[Shape::kMaxRank], offset = 0;
  for (int axis = 0; axis < axes_.rank; ++axis) {
    index[axis] = begin % axes_.lengths[axis];
    begin /= axes_.lengths[axis];
    offset += index[axis] * source.steps[axis];
  }
  for (const T* from = reinterpret_cast<const T*>(source.data); n > 0;) {
    const int64_t run = std::min(axes_.lengths[0] - index[0], n);
    if (source.steps[0] == 0)
      std::fill_n(out, run, from[offset]);
    else
      std::copy_n(from + offset, run, out);
    out += run;
    n -= run;
    offset -= index[0] * source.steps[0];
    index[0] = 0;
    for (int axis = 1; axis < axes_.rank; ++axis) {
      offset += source.steps[axis];
      if (++index[axis] < axes_.lengths[axis]) break;
      offset -= axes_.lengths[axis] * source.steps[axis];
      index[axis] = 0;
    }
  }
}

Tensor sum_to(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  const NoGrad no_grad;
  const int added = x.rank() - shape.rank();
  std::vector<int> axes;
  for (int axis = 0; axis < x.rank(); ++axis)
    if (axis < added || shape[axis - added] != x.size(axis)) axes.push_back(axis);
  return sum(x, axes).reshape(shape);
}

}  // namespace normlab
