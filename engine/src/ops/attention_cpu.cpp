#include "ops/attention.h"

#include <algorithm>
#include <cmath>

#include "cpu/simd_bfloat16.h"
#include "cpu/simd_rows.h"
#include "cpu/simd_tile.h"

namespace normlab::NORMLAB_ISA {
namespace {

using Head = AttentionHead<float>;

/// Hands out pieces of the scratch.
struct Scratch {
  float* next;
  float* take(int64_t n) {
    float* piece = next;
    next += n;
    return piece;
  }
};

/// Rows that whole vectors can be read from: themselves if they are whole vectors long, else a copy
/// with zeros behind each.
RightSide whole_rows(const HeadRows<const float>& x, int64_t rows, int64_t depth,
                     Scratch& scratch) {
  if (x.padded || depth % kLanes == 0) return {x.data, x.row_step};
  const int64_t to_step = padded_to_vectors(depth);
  float* to = scratch.take(rows * to_step);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < to_step; ++j) to[i * to_step + j] = j < depth ? x.at(i)[j] : 0;
  return {to, to_step};
}

/// Rows as columns, with zeros behind the last; themselves if they are stored so.
RightSide turned(const HeadRows<const float>& x, int64_t rows, int64_t depth, Scratch& scratch) {
  if (x.row_step == 1) return {x.data, x.column_step};
  const int64_t to_step = padded_to_vectors(rows);
  float* to = scratch.take(depth * to_step);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < depth; ++j) to[j * to_step + i] = x.at(i)[j];
  for (int64_t j = 0; j < depth; ++j)
    for (int64_t i = rows; i < to_step; ++i) to[j * to_step + i] = 0;
  return {to, to_step};
}

/// What a product takes for v.
vfloat operand(const Head& h, vfloat v) {
  return h.bfloat16_products ? to_bfloat16(v) : v;
}

/// row = exp(scale * (row - greatest)) of the keys that are seen, 0 up to `width`; returns the sum,
/// and its logarithm in log_sum.
float exponentials(float* row, const Head& h, int64_t seen, int64_t width, float& log_sum) {
  const float greatest = row_max(row, seen);
  const double total = sum_over(seen, [&](int64_t i, int64_t count) {
    const vfloat e = vexp((load(row + i, count) - greatest) * h.scale);
    store(row + i, operand(h, e), count);
    return e;
  });
  std::fill(row + seen, row + width, 0.0F);
  log_sum = h.scale * greatest + static_cast<float>(std::log(total));
  return static_cast<float>(total);
}

LeftSide rows_from(const HeadRows<const float>& x, int64_t first) {
  return {x.at(first), x.row_step, 1};
}

void forward(const Head& h, float* memory) {
  Scratch scratch{memory};
  const RightSide keys = turned(h.k, h.keys, h.depth, scratch);
  const RightSide values = whole_rows(h.v, h.keys, h.depth, scratch);
  const int64_t step = padded_to_vectors(h.keys);
  float* scores = scratch.next;
  for (int64_t begin = 0; begin < h.queries; begin += kQueries) {
    const int64_t n = h.queries - begin < kQueries ? h.queries - begin : kQueries;
    const int64_t seen = h.seen_by(begin + n - 1);  // what follows is masked for all of them
    tiled_product(rows_from(h.q, begin), keys, n, seen, h.depth, scores, step);
    float scale[kQueries];
    for (int64_t i = 0; i < n; ++i)
      scale[i] =
          1 / exponentials(scores + i * step, h, h.seen_by(begin + i), seen, h.log_sum[begin + i]);
    tiled_product({scores, step, 1}, values, n, h.depth, seen, h.z.at(begin), h.z.row_step);
    for (int64_t i = 0; i < n; ++i)
      each_vector(0, h.depth, [&](int64_t j, int64_t count) {
        float* at = h.z.at(begin + i) + j;
        store(at, load(at, count) * scale[i], count);
      });
  }
}

/// Scores become weights, and the gradients of the weights those of the scores; 0 for keys from the
/// last that is seen up to `width`.
void weights_and_gradients(const Head& h, int64_t row, int64_t width, float* weight,
                           float* dweight) {
  const float *z = h.z.at(row), *dz = h.dz.at(row);
  const float mean = static_cast<float>(sum_over(
      h.depth, [&](int64_t j, int64_t count) { return load(z + j, count) * load(dz + j, count); }));
  const float log_sum = h.log_sum[row];
  const int64_t seen = h.seen_by(row);
  each_vector(0, seen, [&](int64_t j, int64_t count) {
    const vfloat w = vexp(load(weight + j, count) * h.scale - log_sum);
    store(weight + j, operand(h, w), count);
    const vfloat dscore = w * (load(dweight + j, count) - mean) * h.scale;
    store(dweight + j, operand(h, dscore), count);
  });
  std::fill(weight + seen, weight + width, 0.0F);
  std::fill(dweight + seen, dweight + width, 0.0F);
}

/// A block of queries in backward, and the keys that the blocks before it and it see.
struct QueryBlock {
  int64_t begin, n, seen_before, seen;
};

/// Rows [0, block.seen) of `to` += left^T right, where what the blocks before have not seen begins.
void add_to_keys(const float* left, int64_t width, const RightSide& right, const QueryBlock& block,
                 const Head& h, const HeadRows<float>& to) {
  const RightSide rows = {right.data + block.begin * right.step, right.step};
  const auto product = [&](int64_t from, int64_t until, bool add) {
    tiled_product({left + from, 1, width}, rows, until - from, h.depth, block.n, to.at(from),
                  to.row_step, add);
  };
  product(0, block.seen_before, true);
  product(block.seen_before, block.seen, false);
}

void backward(const Head& h, float* memory) {
  Scratch scratch{memory};
  const RightSide keys_turned = turned(h.k, h.keys, h.depth, scratch);
  const RightSide values_turned = turned(h.v, h.keys, h.depth, scratch);
  const RightSide queries = whole_rows(h.q, h.queries, h.depth, scratch);
  const RightSide keys = whole_rows(h.k, h.keys, h.depth, scratch);
  const RightSide dz = whole_rows(h.dz, h.queries, h.depth, scratch);
  const int64_t width = padded_to_vectors(h.keys);
  float* weights = scratch.take((h.queries < kQueries ? h.queries : kQueries) * width);
  float* dscores = scratch.next;
  QueryBlock block{};
  for (; block.begin < h.queries; block.begin += kQueries, block.seen_before = block.seen) {
    const int64_t begin = block.begin, left = h.queries - begin;
    const int64_t n = block.n = left < kQueries ? left : kQueries;
    const int64_t seen = block.seen = h.seen_by(begin + n - 1);
    tiled_product(rows_from(h.q, begin), keys_turned, n, seen, h.depth, weights, width);
    tiled_product(rows_from(h.dz, begin), values_turned, n, seen, h.depth, dscores, width);
    for (int64_t i = 0; i < n; ++i)
      weights_and_gradients(h, begin + i, seen, weights + i * width, dscores + i * width);
    tiled_product({dscores, width, 1}, keys, n, h.depth, seen, h.dq.at(begin), h.dq.row_step);
    add_to_keys(dscores, width, queries, block, h, h.dk);
    add_to_keys(weights, width, dz, block, h, h.dv);
  }
  for (int64_t j = block.seen_before; j < h.keys; ++j) {  // no query sees them
    std::fill_n(h.dk.at(j), h.depth, 0.0F);
    std::fill_n(h.dv.at(j), h.depth, 0.0F);
  }
}

}  // namespace

extern const AttentionKernels attention_kernels = {forward, backward};

}  // namespace normlab::NORMLAB_ISA
