#include "ops/attention.h"

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

/// Rows of `depth` floats, `step` apart, that whole vectors can be read from: themselves if they
/// are whole vectors long, else a copy with zeros behind each.
RightSide whole_rows(const float* x, int64_t step, const Head& h, Scratch& scratch) {
  if (h.depth % kLanes == 0) return {x, step};
  const int64_t to_step = padded_to_vectors(h.depth);
  float* to = scratch.take(h.length * to_step);
  for (int64_t i = 0; i < h.length; ++i)
    for (int64_t j = 0; j < to_step; ++j) to[i * to_step + j] = j < h.depth ? x[i * step + j] : 0;
  return {to, to_step};
}

/// Rows 3 * size apart as columns, with zeros behind the last.
RightSide turned(const float* x, const Head& h, Scratch& scratch) {
  const int64_t to_step = padded_to_vectors(h.length), step = 3 * h.size;
  float* to = scratch.take(h.depth * to_step);
  for (int64_t i = 0; i < h.length; ++i)
    for (int64_t j = 0; j < h.depth; ++j) to[j * to_step + i] = x[i * step + j];
  for (int64_t j = 0; j < h.depth; ++j)
    for (int64_t i = h.length; i < to_step; ++i) to[j * to_step + i] = 0;
  return {to, to_step};
}

/// What a product takes for v.
vfloat operand(const Head& h, vfloat v) {
  return h.bfloat16_products ? to_bfloat16(v) : v;
}

/// row = exp(scale * (row - greatest)); returns the sum, and its logarithm in log_sum.
float exponentials(float* row, const Head& h, float& log_sum) {
  const float greatest = row_max(row, h.length);
  const double total = sum_over(h.length, [&](int64_t i, int64_t count) {
    const vfloat e = vexp((load(row + i, count) - greatest) * h.scale);
    store(row + i, operand(h, e), count);
    return e;
  });
  log_sum = h.scale * greatest + static_cast<float>(std::log(total));
  return static_cast<float>(total);
}

void forward(const Head& h, float* memory) {
  Scratch scratch{memory};
  const RightSide keys = turned(h.qkv + h.size, h, scratch);
  const RightSide values = whole_rows(h.qkv + 2 * h.size, 3 * h.size, h, scratch);
  float* scores = scratch.take(kQueries * keys.step);
  for (int64_t begin = 0; begin < h.length; begin += kQueries) {
    const int64_t n = h.length - begin < kQueries ? h.length - begin : kQueries;
    float* z = h.z + begin * h.size;
    tiled_product({h.qkv + begin * 3 * h.size, 3 * h.size, 1}, keys, n, h.length, h.depth, scores,
                  keys.step);
    float scale[kQueries];
    for (int64_t i = 0; i < n; ++i)
      scale[i] = 1 / exponentials(scores + i * keys.step, h, h.log_sum[begin + i]);
    tiled_product({scores, keys.step, 1}, values, n, h.depth, h.length, z, h.size);
    for (int64_t i = 0; i < n; ++i)
      each_vector(0, h.depth, [&](int64_t j, int64_t count) {
        float* at = z + i * h.size + j;
        store(at, load(at, count) * scale[i], count);
      });
  }
}

/// Scores become weights, and the gradients of the weights those of the scores.
void weights_and_gradients(const Head& h, int64_t row, float* weight, float* dweight) {
  const float* z = h.z + row * h.size;
  const float* dz = h.dz + row * h.size;
  const float mean = static_cast<float>(sum_over(
      h.depth, [&](int64_t j, int64_t count) { return load(z + j, count) * load(dz + j, count); }));
  const float log_sum = h.log_sum[row];
  each_vector(0, h.length, [&](int64_t j, int64_t count) {
    const vfloat w = vexp(load(weight + j, count) * h.scale - log_sum);
    store(weight + j, operand(h, w), count);
    const vfloat dscore = w * (load(dweight + j, count) - mean) * h.scale;
    store(dweight + j, operand(h, dscore), count);
  });
}

void backward(const Head& h, float* memory) {
  Scratch scratch{memory};
  const int64_t step = 3 * h.size;
  const RightSide keys_turned = turned(h.qkv + h.size, h, scratch);
  const RightSide values_turned = turned(h.qkv + 2 * h.size, h, scratch);
  const RightSide queries = whole_rows(h.qkv, step, h, scratch);
  const RightSide keys = whole_rows(h.qkv + h.size, step, h, scratch);
  const RightSide dz = whole_rows(h.dz, h.size, h, scratch);
  const int64_t width = keys_turned.step;
  float* weights = scratch.take(kQueries * width);
  float* dscores = scratch.take(kQueries * width);
  for (int64_t begin = 0; begin < h.length; begin += kQueries) {
    const int64_t n = h.length - begin < kQueries ? h.length - begin : kQueries;
    tiled_product({h.qkv + begin * step, step, 1}, keys_turned, n, h.length, h.depth, weights,
                  width);
    tiled_product({h.dz + begin * h.size, h.size, 1}, values_turned, n, h.length, h.depth, dscores,
                  width);
    for (int64_t i = 0; i < n; ++i)
      weights_and_gradients(h, begin + i, weights + i * width, dscores + i * width);
    const bool add = begin > 0;
    tiled_product({dscores, width, 1}, keys, n, h.depth, h.length, h.dqkv + begin * step, step);
    tiled_product({dscores, 1, width}, {queries.data + begin * queries.step, queries.step},
                  h.length, h.depth, n, h.dqkv + h.size, step, add);
    tiled_product({weights, 1, width}, {dz.data + begin * dz.step, dz.step}, h.length, h.depth, n,
                  h.dqkv + 2 * h.size, step, add);
  }
}

}  // namespace

extern const AttentionKernels attention_kernels = {forward, backward};

}  // namespace normlab::NORMLAB_ISA
