#include <algorithm>
#include <limits>

#include "cpu/simd_math.h"
#include "cpu/simd_sum_each.h"
#include "cpu/simd_tile.h"
#include "ops/conv.h"

namespace normlab::NORMLAB_ISA {
namespace {

// Dot products need no broadcasts: 5 x 5 accumulators for 32 registers, 5 x 2 for 16.
constexpr int kDots = kLanes == 16 ? 5 : 2;
static_assert(kTileRows == kPaddedChannels && kTileWidth <= kSlack && kRowPadding % kLanes == 0);

/// kTileRows channels of the result at neighbouring places.
struct OutputTile {
  const float* weights[kTileRows];
  float* out[kTileRows];
  float bias[kTileRows];
  int rows, width;
  float floor;  ///< 0 for a fused relu, else -infinity
};

template <int V>
void forward_tile(const OutputTile& t, const float* b, const int32_t* offset, int depth) {
  vfloat acc[kTileRows][V];
#pragma GCC unroll 8
  for (int r = 0; r < kTileRows; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) acc[r][v] = broadcast(t.bias[r]);
  tile_product<V>(
      t.weights, 1, depth, [=](int64_t k) { return b + offset[k]; }, acc);
  const vfloat floor = broadcast(t.floor);
#pragma GCC unroll 8
  for (int r = 0; r < kTileRows; ++r) {
    if (r >= t.rows) break;
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v)
      acc[r][v] = acc[r][v] < floor ? floor : acc[r][v];  // this way round NaN is passed on
    store_tile_row<V>(t.out[r], acc[r], t.width);
  }
}

void forward(const DirectPlan& p, const float* shifted, const float* w, const float* bias,
             bool relu, float* z) {
  OutputTile t;
  t.floor = relu ? 0.0F : -std::numeric_limits<float>::infinity();
  for (int o = 0; o < p.out_channels; o += kTileRows) {
    t.rows = std::min(kTileRows, p.out_channels - o);
    for (int r = 0; r < kTileRows; ++r) {
      const int channel = o + std::min(r, t.rows - 1);
      t.weights[r] = w + static_cast<int64_t>(channel) * p.columns;
      t.out[r] = z + static_cast<int64_t>(channel) * p.size;
      t.bias[r] = bias ? bias[channel] : 0.0F;
    }
    for (int at = 0; at < p.size; at += kTileWidth) {
      t.width = std::min(kTileWidth, p.size - at);
      with_vectors(t.width, [&]<int V>() { forward_tile<V>(t, shifted + at, p.run, p.columns); });
      for (float*& out : t.out) out += t.width;
    }
  }
}

// --- the shifted input --------------------------------------------------------------------------

typedef float Block __attribute__((vector_size(32), aligned(4), may_alias));
constexpr int kBlock = 8;
// No function returns a reference to a block: Clang forgets that it is not aligned.
void copy_block(const float* from, float* to) {
  *reinterpret_cast<Block*>(to) = *reinterpret_cast<const Block*>(from);
}
void add_block(const float* from, float* to) {
  *reinterpret_cast<Block*>(to) += *reinterpret_cast<const Block*>(from);
}

/// Copies rows in blocks of 8 floats; a block may run over its row's end, where the next row (or
/// slack) overwrites it.
template <int Blocks>
void copy_rows(const float* from, int from_stride, float* to, int to_stride, int rows) {
  for (int row = 0; row < rows; ++row, from += from_stride, to += to_stride)
#pragma GCC unroll 8
    for (int i = 0; i < Blocks; ++i) copy_block(from + kBlock * i, to + kBlock * i);
}

/// Copies rows of to_stride floats; nothing from `end` on is read.
void copy_plane(const float* from, const float* end, int from_stride, float* to, int to_stride,
                int rows) {
  const int blocks = (to_stride + kBlock - 1) / kBlock;
  const bool inside = end - from >= static_cast<int64_t>(rows - 1) * from_stride + kBlock * blocks;
  switch (inside ? blocks : 0) {
    case 1:
      return copy_rows<1>(from, from_stride, to, to_stride, rows);
    case 2:
      return copy_rows<2>(from, from_stride, to, to_stride, rows);
    case 3:
      return copy_rows<3>(from, from_stride, to, to_stride, rows);
    case 4:
      return copy_rows<4>(from, from_stride, to, to_stride, rows);
    default:
      for (int row = 0; row < rows; ++row)
        std::copy_n(from + row * from_stride, to_stride, to + row * to_stride);
  }
}

void shift(const DirectPlan& p, const float* x, const float* end, float* shifted) {
  for (int c = 0; c < p.channels; ++c, x += p.height * p.width)
    for (int kx = 0; kx < p.kernel_w; ++kx, shifted += p.height * p.out_w)
      copy_plane(x + kx, end, p.width, shifted, p.out_w, p.height);
}

// --- gradients ----------------------------------------------------------------------------------

/// One row of mask(); returns its sum.
float mask_row(const float* z, const float* dz, int size, float* g) {
  vfloat total{};
  const auto masked = [](vfloat z, vfloat dz) { return z <= 0.0F ? vfloat{} : dz; };
  int i = 0;
  for (; i + kLanes <= size; i += kLanes) {
    const vfloat v = z ? masked(load(z + i), load(dz + i)) : load(dz + i);
    store(g + i, v);
    total += v;
  }
  if (i < size) {
    const vfloat v =
        z ? masked(load(z + i, size - i), load(dz + i, size - i)) : load(dz + i, size - i);
    store(g + i, v, size - i);
    total += v;
  }
  return sum(total);
}

void mask(const DirectPlan& p, const float* z, const float* dz, float* g, float* db) {
  for (int o = 0; o < p.out_channels; ++o, dz += p.size, g += p.padded) {
    db[o] = mask_row(z, dz, p.size, g);
    std::fill(g + p.size, g + p.padded, 0.0F);
    if (z) z += p.size;
  }
  const int rest = (kTileRows - p.out_channels % kTileRows) % kTileRows;
  std::fill_n(g, rest * p.padded, 0.0F);
}

template <int V>
void transposed_tile(TileRows a, int64_t step, const float* b, const int32_t* offset, int depth,
                     float* out) {
  vfloat acc[kTileRows][V] = {};
  tile_product<V>(
      a, step, depth, [=](int64_t k) { return b + offset[k]; }, acc);
#pragma GCC unroll 8
  for (int r = 0; r < kTileRows; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) store(out + r * kTileWidth + v * kLanes, acc[r][v]);
}

void add_run(float* to, const float* from, int n) {
  int i = 0;
  for (; i + kBlock <= n; i += kBlock) add_block(from + i, to + i);
  for (; i < n; ++i) to[i] += from[i];
}

/// Adds whole rows of n floats; the common short row gets a loop without inner bounds.
void add_rows(float* to, int to_stride, const float* from, int n, int rows) {
  if (n == kBlock) {
    for (int row = 0; row < rows; ++row, to += to_stride, from += kBlock) add_block(from, to);
  } else {
    for (int row = 0; row < rows; ++row, to += to_stride, from += n) add_run(to, from, n);
  }
}

/// Adds rows (c, kx, ky) of a transposed product, places [at, at + width), to where they belong in
/// dx. As the rows come in ky order, neighbouring additions to one line of dx have one alignment,
/// and the processor can forward stores to loads.
void add_tile(const DirectPlan& p, const float* rows, int first, int at, int width, float* dx) {
  const int y = at / p.out_w, x = at % p.out_w;
  const int count = std::min(kTileRows, p.columns - first);
  for (int r = 0; r < count; ++r, rows += kTileWidth) {
    float* line = dx + p.dx_target[first + r] + y * p.width;
    int done = x == 0 ? 0 : std::min(p.out_w - x, width);
    if (done > 0) {
      add_run(line + x, rows, done);
      line += p.width;
    }
    const int whole = (width - done) / p.out_w;
    add_rows(line, p.width, rows + done, p.out_w, whole);
    done += whole * p.out_w;
    if (done < width) add_run(line + whole * p.width, rows + done, width - done);
  }
}

void input_gradient(const DirectPlan& p, const float* g, const float* w, float* dx) {
  std::fill_n(dx, p.channels * p.height * p.width, 0.0F);
  alignas(64) float rows[kTileRows * kTileWidth];
  for (int first = 0; first < p.columns; first += kTileRows) {
    const float* a[kTileRows];
    for (int r = 0; r < kTileRows; ++r) a[r] = w + p.dx_column[std::min(first + r, p.columns - 1)];
    for (int at = 0; at < p.size; at += kTileWidth) {
      const int width = std::min(kTileWidth, p.size - at);
      with_vectors(width, [&]<int V>() {
        transposed_tile<V>(a, p.columns, g + at, p.row, p.out_channels, rows);
      });
      add_tile(p, rows, first, at, width, dx);
    }
  }
}

/// Operands of dot products over the places of an image.
struct DotRows {
  const float* g;
  int g_row;
  const float* s;
  const int32_t* offset;
};

/// acc[r][c] += g[r][place ...] * s[offset[c] + place ...]; `keep` masks the tail.
template <bool tail>
[[gnu::always_inline]] inline void dot_step(const DotRows& d, int place, vint keep,
                                            vfloat (&acc)[kTileRows][kDots]) {
  vfloat s[kDots];
#pragma GCC unroll 8
  for (int c = 0; c < kDots; ++c) {
    s[c] = load(d.s + d.offset[c] + place);
    // Behind the last place lie other rows' values, and infinity times 0 is not 0.
    if constexpr (tail) s[c] = as_float(as_int(s[c]) & keep);
  }
#pragma GCC unroll 8
  for (int r = 0; r < kTileRows; ++r) {
    const vfloat g = load(d.g + r * d.g_row + place);
#pragma GCC unroll 8
    for (int c = 0; c < kDots; ++c) acc[r][c] += g * s[c];
  }
}

/// out[r][c] = sum over images and places of g[r] * s[offset[c]].
void dot_tile(const DirectPlan& p, int images, DotRows d, float (&out)[kTileRows][kDots]) {
  vfloat acc[kTileRows][kDots] = {};
  vint lane;
  for (int i = 0; i < kLanes; ++i) lane[i] = i;
  const int whole = p.size / kLanes * kLanes;
  const vint keep = lane < (p.size - whole);
  for (int n = 0; n < images; ++n, d.g += p.gradient, d.s += p.shifted) {
    for (int place = 0; place < whole; place += kLanes) dot_step<false>(d, place, keep, acc);
    if (whole < p.size) dot_step<true>(d, whole, keep, acc);
  }
  sum_each<kTileRows * kDots>(&acc[0][0], &out[0][0]);
}

void weight_gradient(const DirectPlan& p, int images, int channel, const float* g,
                     const float* shifted, float* dw) {
  const int area = p.kernel_h * p.kernel_w, first = channel * area;
  for (int o = 0; o < p.out_channels; o += kTileRows, g += kTileRows * p.padded) {
    for (int k = 0; k < area; k += kDots) {
      int32_t offset[kDots];
      for (int c = 0; c < kDots; ++c) offset[c] = p.run[first + std::min(k + c, area - 1)];
      float out[kTileRows][kDots];
      dot_tile(p, images, {g, p.padded, shifted, offset}, out);
      for (int r = 0; r < std::min(kTileRows, p.out_channels - o); ++r)
        for (int c = 0; c < std::min(kDots, area - k); ++c)
          dw[static_cast<int64_t>(o + r) * p.columns + first + k + c] = out[r][c];
    }
  }
}

}  // namespace

extern const DirectKernels direct_kernels = {shift, forward, mask, input_gradient, weight_gradient};

}  // namespace normlab::NORMLAB_ISA
