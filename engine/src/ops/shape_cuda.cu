#include <cmath>
#include <limits>
#include <type_traits>

#include "cuda/elements.h"
#include "ops/shape_cuda.h"

namespace normlab::cuda {
namespace {

// --- copies along joined axes -------------------------------------------------------------------

/// T is one element, or a vector of neighbours.
template <class T>
__global__ void __launch_bounds__(kElementThreads)
    copy_kernel(const __grid_constant__ JoinedAxes axes, int64_t n, const T* from, T* to) {
  for (int64_t i = element_index(); i < n; i += element_step()) {
    int64_t at[2];
    places_of(axes, i, at);
    to[at[1]] = from[at[0]];
  }
}

/// The same where V neighbours in `to` are one element of `from`.
template <class T, int V>
__global__ void __launch_bounds__(kElementThreads)
    repeat_kernel(const __grid_constant__ JoinedAxes axes, int64_t n, const T* from,
                  Pack<T, V>* to) {
  for (int64_t i = element_index(); i < n; i += element_step()) {
    int64_t at[2];
    places_of(axes, i, at);
    const T element = from[at[0]];
    Pack<T, V> all;
#pragma unroll
    for (int k = 0; k < V; ++k) all.of[k] = element;
    to[at[1]] = all;
  }
}

template <class From, class To>
Failure walk(void (*kernel)(JoinedAxes, int64_t, const From*, To*), const JoinedAxes& axes,
             const void* from, void* to) {
  const int64_t n = axes.numel();
  return launch(kernel, element_blocks(n), kElementThreads, axes, n, static_cast<const From*>(from),
                static_cast<To*>(to));
}

/// Whether the innermost axis runs through tensor k in whole, aligned vectors of V elements.
bool in_vectors(int64_t V, int64_t item, int k, const void* data, const JoinedAxes& axes) {
  if (reinterpret_cast<uintptr_t>(data) % static_cast<uintptr_t>(V * item) != 0) return false;
  for (int axis = 1; axis < axes.rank; ++axis)
    if (axes.steps[k][axis] % V != 0) return false;
  return axes.steps[k][0] == 1 && axes.lengths[0] % V == 0;
}
void count_vectors(int64_t V, int k, JoinedAxes& axes) {
  for (int axis = 1; axis < axes.rank; ++axis) axes.steps[k][axis] /= V;
}

// --- transposes ---------------------------------------------------------------------------------

constexpr int kTile = 32, kTileRows = 8;

/// A copy whose target runs along axis 0 and whose source along axis `unit`: tiles of both axes go
/// through shared memory, so that both sides are read and written in whole lines.
struct Tiles {
  JoinedAxes others;             ///< all axes but the two
  int64_t width, height;         ///< of axis 0 and of axis `unit`
  int64_t from_step, to_step;    ///< of the source along axis 0, of the target along axis `unit`
  unsigned across, down, count;  ///< tiles along both, and in all
};

template <class T>
__global__ void __launch_bounds__(kTile* kTileRows)
    tile_kernel(const __grid_constant__ Tiles tiles, const T* from, T* to) {
  __shared__ T shared[kTile][kTile + 1];  // one more: columns lie in different banks
  const int x = static_cast<int>(threadIdx.x), y = static_cast<int>(threadIdx.y);
  for (unsigned tile = blockIdx.x; tile < tiles.count; tile += gridDim.x) {
    const unsigned rest = tile / tiles.across, other = rest / tiles.down;
    const int64_t left = int64_t{tile - rest * tiles.across} * kTile;
    const int64_t top = int64_t{rest - other * tiles.down} * kTile;
    int64_t at[2];
    walk_to(tiles.others, other, at);
    for (int r = y; r < kTile; r += kTileRows)
      if (left + r < tiles.width && top + x < tiles.height)
        shared[r][x] = from[at[0] + (left + r) * tiles.from_step + top + x];
    __syncthreads();
    for (int r = y; r < kTile; r += kTileRows)
      if (top + r < tiles.height && left + x < tiles.width)
        to[at[1] + (top + r) * tiles.to_step + left + x] = shared[x][r];
    __syncthreads();  // before the next tile is loaded
  }
}

/// The axis other than the innermost along which the source runs, if both are long; else -1.
int source_axis(const JoinedAxes& axes) {
  constexpr int64_t kLong = 8;
  if (axes.steps[0][0] <= 1 || axes.steps[1][0] != 1 || axes.lengths[0] < kLong) return -1;
  for (int axis = 1; axis < axes.rank; ++axis)
    if (axes.steps[0][axis] == 1 && axes.lengths[axis] >= kLong) return axis;
  return -1;
}

Tiles tiles_of(const JoinedAxes& axes, int unit) {
  Tiles tiles{};
  tiles.others.tensors = 2;
  for (int axis = 1; axis < axes.rank; ++axis) {
    const int64_t steps[2] = {axes.steps[0][axis], axes.steps[1][axis]};
    if (axis != unit) tiles.others.add(axes.lengths[axis], steps);
  }
  tiles.others.finish();
  tiles.width = axes.lengths[0];
  tiles.height = axes.lengths[unit];
  tiles.from_step = axes.steps[0][0];
  tiles.to_step = axes.steps[1][unit];
  tiles.across = blocks_for(tiles.width, kTile);
  tiles.down = blocks_for(tiles.height, kTile);
  tiles.count = static_cast<unsigned>(tiles.across * tiles.down * tiles.others.numel());
  return tiles;
}

template <class T>
Failure copy_tiles(const void* from, void* to, const JoinedAxes& axes, int unit) {
  const Tiles tiles = tiles_of(axes, unit);
  const auto most = static_cast<unsigned>(multiprocessors()) * 16;
  return launch(tile_kernel<T>, tiles.count < most ? tiles.count : most, dim3(kTile, kTileRows),
                tiles, static_cast<const T*>(from), static_cast<T*>(to));
}

/// T: an element.
template <class T>
Failure copy_items(const void* from, void* to, const JoinedAxes& axes) {
  constexpr int Item = sizeof(T), V = 16 / Item;
  if (in_vectors(V, Item, 1, to, axes)) {
    JoinedAxes vectors = axes;
    vectors.lengths[0] /= V;
    count_vectors(V, 1, vectors);
    if (axes.steps[0][0] == 0) return walk(repeat_kernel<T, V>, vectors, from, to);
    if (in_vectors(V, Item, 0, from, axes)) {
      count_vectors(V, 0, vectors);
      return walk(copy_kernel<Pack<uint32_t, 4>>, vectors, from, to);
    }
  }
  const int unit = source_axis(axes);
  return unit > 0 && axes.numel() <= INT32_MAX ? copy_tiles<T>(from, to, axes, unit)
                                               : walk(copy_kernel<T>, axes, from, to);
}

Failure copy(int64_t item, const void* from, void* to, const JoinedAxes& axes) {
  if (axes.numel() == 0) return nullptr;
  return for_item(item, [&]<class T>() { return copy_items<T>(from, to, axes); });
}

// --- other dtypes -------------------------------------------------------------------------------

/// An integer takes the nearest that it holds, of NaN 0.
template <class To, class Stored>
__device__ To converted(Stored stored) {
  using From = compute_t<Stored>;
  const From value = widened(stored);
  using Limits = std::numeric_limits<To>;
  if constexpr (!std::is_integral_v<To> || std::is_same_v<To, bool>) {
    return static_cast<To>(static_cast<compute_t<To>>(value));
  } else if constexpr (std::is_floating_point_v<From>) {
    // The least power of two above the greatest value: any floating type holds it.
    constexpr From end = static_cast<From>(Limits::max() / 2 + 1) * 2;
    if (!(value > static_cast<From>(Limits::min()))) return value == value ? Limits::min() : To(0);
    return value >= end ? Limits::max() : static_cast<To>(value);
  } else {
    const auto wide = static_cast<int64_t>(value);
    if (wide < static_cast<int64_t>(Limits::min())) return Limits::min();
    return wide > static_cast<int64_t>(Limits::max()) ? Limits::max() : static_cast<To>(wide);
  }
}

template <class From, class To>
__global__ void __launch_bounds__(kElementThreads)
    convert_kernel(const From* from, To* to, int64_t n) {
#pragma unroll 4
  for (int64_t i = element_index(); i < n; i += element_step()) to[i] = converted<To>(from[i]);
}

template <class Body>
Failure for_dtype(DType dtype, const Body& body) {
  if (dtype == DType::boolean) return body.template operator()<bool>();
  return carries_gradient(dtype) ? for_stored(dtype, body) : for_integers(dtype, body);
}

Failure convert(DType from_dtype, const void* from, DType to_dtype, void* to, int64_t n) {
  if (n == 0) return nullptr;
  return for_dtype(from_dtype, [&]<class From>() {
    return for_dtype(to_dtype, [&]<class To>() {
      return launch(convert_kernel<From, To>, element_blocks(n), kElementThreads,
                    static_cast<const From*>(from), static_cast<To*>(to), n);
    });
  });
}

// --- rows ---------------------------------------------------------------------------------------

/// Row rows[i] of `to` becomes row i of `values`; T is the greatest unit that divides a row.
template <class T>
__global__ void __launch_bounds__(kElementThreads)
    scatter_kernel(const int64_t* rows, const T* values, int64_t units, int64_t row, T* to) {
  for (int64_t i = element_index(); i < units; i += element_step())
    to[rows[i / row] * row + i % row] = values[i];
}

Failure scatter_rows(const int64_t* rows, const void* values, int64_t n, int64_t row_bytes,
                     void* to) {
  if (n * row_bytes == 0) return nullptr;
  const auto all = reinterpret_cast<uintptr_t>(values) | reinterpret_cast<uintptr_t>(to) |
                   static_cast<uintptr_t>(row_bytes);
  return for_unit(all, [&]<class T>() {
    const int64_t row = row_bytes / static_cast<int64_t>(sizeof(T));
    return launch(scatter_kernel<T>, element_blocks(n * row), kElementThreads, rows,
                  static_cast<const T*>(values), n * row, row, static_cast<T*>(to));
  });
}

}  // namespace

const ShapeFunctions shape_functions = {
    .copy = copy,
    .convert = convert,
    .scatter_rows = scatter_rows,
};

}  // namespace normlab::cuda
