#include "cpu/parallel.h"
#include "cpu/simd_rows.h"
#include "ops/reduce.h"

namespace normlab::NORMLAB_ISA {
namespace {

constexpr int64_t kRowChunk = 16384;    // elements of a long row that one task sums
constexpr int64_t kChunkRows = 256;     // rows of a column sum that one task adds
constexpr int64_t kBlockColumns = 512;  // columns of one task: their sums stay in the L1 cache
constexpr int64_t kFewColumns = 64;     // fewer columns are summed kLanes rows at a time

int64_t chunks_of(int64_t n, int64_t chunk) {
  return (n + chunk - 1) / chunk;
}

// --- sums of rows -----------------------------------------------------------------------------

double row_sum(const float* x, int64_t n) {
  return sum_over<16>(n, [&](int64_t i, int64_t count) { return load(x + i, count); });
}

double row_sum_of_squares(const float* x, float center, int64_t n) {
  return sum_over(n, [&](int64_t i, int64_t count) {
    const vfloat d = load(x + i, count) - center;
    return d * d;
  });
}

void sum_rows(const float* x, const float* center, AxisView view, double scale, double* scratch,
              float* z) {
  const int64_t chunks = chunks_of(view.n, kRowChunk);
  const auto part = [&](int64_t row, int64_t chunk) {
    const int64_t begin = chunk * kRowChunk;
    const int64_t count = view.n - begin < kRowChunk ? view.n - begin : kRowChunk;
    const float* p = x + row * view.n + begin;
    return center ? row_sum_of_squares(p, center[row], count) : row_sum(p, count);
  };
  if (chunks == 1) {
    parallel_for(view.outer, view.n,
                 [&](int64_t row) { z[row] = static_cast<float>(scale * part(row, 0)); });
    return;
  }
  parallel_for(view.outer * chunks, kRowChunk,
               [&](int64_t k) { scratch[k] = part(k / chunks, k % chunks); });
  for (int64_t row = 0; row < view.outer; ++row) {
    double sum = 0;
    for (int64_t c = 0; c < chunks; ++c) sum += scratch[row * chunks + c];
    z[row] = static_cast<float>(scale * sum);
  }
}

// --- sums of columns --------------------------------------------------------------------------

/// [n, inner] cut into chunks: `fold` rows count as one of `columns` = fold * inner columns, so
/// that a few columns fill whole vectors; `rows` such rows, the n % fold last ones are left over.
struct Cut {
  int64_t fold, rows, columns, chunks, blocks;

  explicit Cut(AxisView view) {
    fold = view.inner < kFewColumns && view.n >= kLanes ? kLanes : 1;
    rows = view.n / fold;
    columns = view.inner * fold;
    chunks = chunks_of(rows, kChunkRows);
    blocks = chunks_of(columns, kBlockColumns);
  }
};

struct Sum {
  vfloat operator()(const float* x, const float*) const { return load(x); }
  float one(float x, float) const { return x; }
};
struct SumOfSquares {
  vfloat operator()(const float* x, const float* center) const {
    const vfloat d = load(x) - load(center);
    return d * d;
  }
  float one(float x, float center) const { return (x - center) * (x - center); }
};

void add_wide(double* sum, vfloat v) {
  float lane[kLanes];
  store(lane, v);
  for (int i = 0; i < kLanes; ++i) sum[i] += lane[i];
}

/// sum[c] += sum of value over the rows of x; eight rows at once are added as a tree.
template <class Value>
void add_rows(const float* x, const float* center, int64_t rows, int64_t stride, int64_t columns,
              double* sum) {
  const Value value;
  for (; rows >= 8; rows -= 8, x += 8 * stride) {
    int64_t c = 0;
    for (; c + kLanes <= columns; c += kLanes) {
      const auto at = [&](int64_t r) { return value(x + r * stride + c, center + c); };
      add_wide(sum + c, ((at(0) + at(1)) + (at(2) + at(3))) + ((at(4) + at(5)) + (at(6) + at(7))));
    }
    for (; c < columns; ++c)
      for (int64_t r = 0; r < 8; ++r) sum[c] += value.one(x[r * stride + c], center[c]);
  }
  for (; rows > 0; --rows, x += stride)
    for (int64_t c = 0; c < columns; ++c) sum[c] += value.one(x[c], center[c]);
}

/// Sums of one chunk of rows and one block of columns, into `out`.
void sum_block(const float* x, const float* center, AxisView view, const Cut& cut, int64_t chunk,
               int64_t block, double* out) {
  const int64_t first = block * kBlockColumns, row = chunk * kChunkRows;
  const int64_t columns = cut.columns - first < kBlockColumns ? cut.columns - first : kBlockColumns;
  const int64_t rows = cut.rows - row < kChunkRows ? cut.rows - row : kChunkRows;
  const float* from = x + row * cut.columns + first;
  for (int64_t c = 0; c < columns; ++c) out[c] = 0;
  if (!center) {
    add_rows<Sum>(from, from, rows, cut.columns, columns, out);
    return;
  }
  float repeated[kBlockColumns];
  for (int64_t c = 0; c < columns; ++c) repeated[c] = center[(first + c) % view.inner];
  add_rows<SumOfSquares>(from, repeated, rows, cut.columns, columns, out);
}

/// z[c] for `count` columns: the partial sums in order, then the rows that the fold left over.
void finish_columns(const float* x, const float* center, AxisView view, const Cut& cut,
                    const double* partial, int64_t first, int64_t count, double scale, float* z) {
  double sum[kBlockColumns];
  for (int64_t c = 0; c < count; ++c) sum[c] = 0;
  for (int64_t k = 0; k < cut.chunks * cut.fold; ++k)
    for (int64_t c = 0; c < count; ++c) sum[c] += partial[k * view.inner + first + c];
  const int64_t left = view.n - cut.rows * cut.fold;
  const float* rest = x + cut.rows * cut.columns + first;
  if (center)
    add_rows<SumOfSquares>(rest, center + first, left, view.inner, count, sum);
  else
    add_rows<Sum>(rest, rest, left, view.inner, count, sum);
  for (int64_t c = 0; c < count; ++c) z[first + c] = static_cast<float>(scale * sum[c]);
}

void sum_columns(const float* x, const float* center, AxisView view, double scale, double* scratch,
                 float* z) {
  const Cut cut(view);
  const int64_t size = view.n * view.inner, partials = cut.chunks * cut.columns;
  const int64_t tasks = cut.chunks * cut.blocks;
  const auto center_of = [&](int64_t o) { return center ? center + o * view.inner : nullptr; };
  parallel_for(view.outer * tasks, kChunkRows * kBlockColumns, [&](int64_t k) {
    const int64_t o = k / tasks, chunk = k % tasks / cut.blocks, block = k % cut.blocks;
    sum_block(x + o * size, center_of(o), view, cut, chunk, block,
              scratch + o * partials + chunk * cut.columns + block * kBlockColumns);
  });
  const int64_t blocks = chunks_of(view.inner, kBlockColumns);
  parallel_for(view.outer * blocks, (cut.chunks + 1) * kBlockColumns, [&](int64_t k) {
    const int64_t o = k / blocks, first = k % blocks * kBlockColumns;
    const int64_t count = view.inner - first < kBlockColumns ? view.inner - first : kBlockColumns;
    finish_columns(x + o * size, center_of(o), view, cut, scratch + o * partials, first, count,
                   scale, z + o * view.inner);
  });
}

int64_t scratch(AxisView view) {
  if (view.inner == 1) {
    const int64_t chunks = chunks_of(view.n, kRowChunk);
    return chunks > 1 ? view.outer * chunks : 0;
  }
  const Cut cut(view);
  return view.outer * cut.chunks * cut.columns;
}

void sum(const float* x, const float* center, AxisView view, double scale, double* scratch,
         float* z) {
  (view.inner == 1 ? sum_rows : sum_columns)(x, center, view, scale, scratch, z);
}

void var_backward(const float* x, const float* mean, const float* dz, AxisView view, double scale,
                  float* dx) {
  const float s = static_cast<float>(scale);
  if (view.inner == 1) {
    parallel_for(view.outer, view.n, [&](int64_t row) {
      const float factor = s * dz[row], center = mean[row];
      for (int64_t k = row * view.n; k < (row + 1) * view.n; ++k) dx[k] = factor * (x[k] - center);
    });
    return;
  }
  parallel_for(view.outer * view.n, view.inner, [&](int64_t row) {
    const int64_t kept = row / view.n * view.inner;
    const float *from = x + row * view.inner, *center = mean + kept, *g = dz + kept;
    float* __restrict to = dx + row * view.inner;
    for (int64_t i = 0; i < view.inner; ++i) to[i] = s * g[i] * (from[i] - center[i]);
  });
}

// --- greatest element -------------------------------------------------------------------------

int64_t first_nan(const float* x, int64_t n) {
  int64_t i = 0;
  while (i < n && x[i] == x[i]) ++i;
  return i;
}

/// Place of the greatest element of a row, the first of equals; a NaN is greater than all.
int64_t place_of_max(const float* x, int64_t n) {
  vfloat best = broadcast(-kInf);
  vint odd{}, step{}, at{};  // each lane's place is at * kLanes + lane
  each_vector(0, n, [&](int64_t i, int64_t count) {
    const vfloat v = keep_first(load(x + i, count), count, -kInf);
    at = v > best ? step : at;
    best = v > best ? v : best;
    odd |= v != v;
    step += 1;
  });
  float lane[kLanes];
  store(lane, best);
  int64_t place = static_cast<int64_t>(at[0]) * kLanes;
  float greatest = lane[0];
  int32_t any = odd[0];
  for (int k = 1; k < kLanes; ++k) {
    const int64_t other = static_cast<int64_t>(at[k]) * kLanes + k;
    const bool wins = lane[k] > greatest || (lane[k] == greatest && other < place);
    greatest = wins ? lane[k] : greatest;
    place = wins ? other : place;
    any |= odd[k];
  }
  return any ? first_nan(x, n) : place;
}

/// Columns of one row after the other; `place` counts rows.
void max_columns(const float* x, int64_t n, int64_t stride, int64_t columns, float* best,
                 int64_t* place) {
  for (int64_t c = 0; c < columns; ++c) {
    best[c] = x[c];
    place[c] = 0;
  }
  for (int64_t r = 1; r < n; ++r) {
    const float* row = x + r * stride;
    for (int64_t c = 0; c < columns; ++c) {
      const float v = row[c], b = best[c];
      const bool beats = !(v <= b) & (b == b);  // a NaN beats all but a NaN
      best[c] = beats ? v : b;
      place[c] = beats ? r : place[c];
    }
  }
}

void max(const float* x, AxisView view, float* z, int64_t* place) {
  if (view.inner == 1) {
    parallel_for(view.outer, 2 * view.n, [&](int64_t row) {
      const float* p = x + row * view.n;
      place[row] = place_of_max(p, view.n);
      z[row] = p[place[row]];
    });
    return;
  }
  const int64_t blocks = chunks_of(view.inner, kBlockColumns);
  parallel_for(view.outer * blocks, view.n * kBlockColumns, [&](int64_t k) {
    const int64_t o = k / blocks, first = k % blocks * kBlockColumns;
    const int64_t count = view.inner - first < kBlockColumns ? view.inner - first : kBlockColumns;
    max_columns(x + o * view.n * view.inner + first, view.n, view.inner, count,
                z + o * view.inner + first, place + o * view.inner + first);
  });
}

}  // namespace

extern const ReduceKernels reduce_kernels = {scratch, sum, var_backward, max};

}  // namespace normlab::NORMLAB_ISA
