#include "cuda/tile_product.h"
#include "ops/activation_cuda.h"
#include "ops/conv_cuda.h"
#include "ops/reduce_cuda.h"

// Convolution as matrix products whose operands are gathered from the images by the kernel: one for
// the result, one for each gradient. The gradient of the bias is a last column of dw, as if every
// place had a further input that is 1.

namespace normlab::cuda {
namespace {

// --- an index along K ---------------------------------------------------------------------------

/// (i, y, x) within [.., Y, X]: channel and kernel place, or image and output place.
struct Place {
  int i, y, x;
};

/// Goes from place to place, kPlaceStep at a time, without divisions.
struct Walk {
  int Y, X;
  Place step;

  static Walk over(int64_t Y, int64_t X) {
    const int64_t n = kPlaceStep, i = n / (Y * X), rest = n % (Y * X);
    return {static_cast<int>(Y),
            static_cast<int>(X),
            {static_cast<int>(i), static_cast<int>(rest / X), static_cast<int>(rest % X)}};
  }
  __device__ Place at(int64_t k) const {
    const int64_t row = divide(k, X), i = divide(row, Y);
    return {static_cast<int>(i), static_cast<int>(row - i * Y), static_cast<int>(k - row * X)};
  }
  __device__ void advance(Place& p) const {
    p.x += step.x;
    if (p.x >= X) {
      p.x -= X;
      ++p.y;
    }
    p.y += step.y;
    if (p.y >= Y) {
      p.y -= Y;
      ++p.i;
    }
    p.i += step.i;
  }
};

/// A shape as the kernels count it, mostly in 32 bits.
struct Lengths {
  int N, C, H, W, O, KH, KW, OH, OW;  ///< C and O of one group
  int stride_h, stride_w, padding_h, padding_w, dilation_h, dilation_w;
  int64_t in, out, area;               ///< elements of an input plane, an output plane, a kernel
  int64_t x_image, z_image, w_output;  ///< of an image, an image's result, one output's weights
};

/// False if 32 bits do not hold it.
bool lengths_of(const ConvShape& s, Lengths* lengths) {
  constexpr int64_t kMost = INT32_MAX / 2;
  const int64_t C = s.group_C(), O = s.group_O();
  const bool fits = s.N <= kMost && C * s.KH * s.KW <= kMost && O * s.KH * s.KW <= kMost &&
                    s.H + 2 * s.padding_h <= kMost && s.W + 2 * s.padding_w <= kMost &&
                    s.stride_h <= kMost && s.stride_w <= kMost && s.span_h() <= kMost &&
                    s.span_w() <= kMost;
  const auto in_32_bits = [](int64_t n) { return static_cast<int>(n); };
  *lengths = {in_32_bits(s.N),
              in_32_bits(C),
              in_32_bits(s.H),
              in_32_bits(s.W),
              in_32_bits(O),
              in_32_bits(s.KH),
              in_32_bits(s.KW),
              in_32_bits(s.OH),
              in_32_bits(s.OW),
              in_32_bits(s.stride_h),
              in_32_bits(s.stride_w),
              in_32_bits(s.padding_h),
              in_32_bits(s.padding_w),
              in_32_bits(s.dilation_h),
              in_32_bits(s.dilation_w),
              s.H * s.W,
              s.OH * s.OW,
              s.KH * s.KW,
              s.C * s.H * s.W,
              s.O * s.OH * s.OW,
              C * s.KH * s.KW};
  return fits;
}

/// dz, or 0 where the relu that made z was off.
template <class T>
struct Gradient {
  const T *dz, *relu_z;
  __device__ T at(int64_t i) const {
    const T g = dz[i];
    return relu_z && relu_z[i] <= T(0) ? T(0) : g;
  }
};

/// A place of one of N images.
struct Spot {
  int64_t image;
  int y, x;
  bool inside;  ///< of all images
};

/// Place n of images with H x W places each.
inline __device__ Spot spot_of(int64_t n, int N, int H, int W) {
  const int64_t row = divide(n, W), image = divide(row, H);
  return {image, static_cast<int>(row - image * H), static_cast<int>(n - row * W), image < N};
}

// Each group of channels is a product of its own; O and C below are those of one.

// --- z [O, places] = w [O, (c, ky, kx)] x [(c, ky, kx), places] ----------------------------------

template <class Type>
struct Forward {
  using T = Type;
  using Place = cuda::Place;
  static constexpr bool kAlongK = false;
  int64_t M, N, K, matrices;
  Lengths s;
  Walk walk;
  const T *x, *w, *bias;
  T *z, *before;
  Activation activation;

  struct Row {
    const T* w;
  };
  struct Column {
    const T* image;
    int y, x;
  };
  struct Target {
    int64_t at, first;  ///< the group's first channel there, and which one of bias that is
  };
  __device__ Row row(int64_t group, int64_t m) const {
    return {m < M ? w + (group * M + m) * K : nullptr};
  }
  __device__ Column column(int64_t group, int64_t n) const {
    const Spot at = spot_of(n, s.N, s.OH, s.OW);
    return {at.inside ? x + at.image * s.x_image + group * s.C * s.in : nullptr,
            at.y * s.stride_h - s.padding_h, at.x * s.stride_w - s.padding_w};
  }
  __device__ Place place(int64_t k) const { return walk.at(k); }
  __device__ void advance(Place& k) const { walk.advance(k); }
  __device__ T a(const Row& row, const Place& k) const {
    return row.w ? row.w[k.i * s.area + k.y * s.KW + k.x] : T(0);
  }
  __device__ T b(const Column& column, const Place& k) const {
    const int at_y = column.y + k.y * s.dilation_h, at_x = column.x + k.x * s.dilation_w;
    const bool inside = column.image && at_y >= 0 && at_y < s.H && at_x >= 0 && at_x < s.W;
    return inside ? column.image[k.i * s.in + static_cast<int64_t>(at_y) * s.W + at_x] : T(0);
  }
  __device__ Target target(int64_t group, int64_t n) const {
    const int64_t image = divide(n, s.out);
    return {image * s.z_image + group * M * s.out + n - image * s.out, group * M};
  }
  __device__ void store(const Target& to, int64_t m, int64_t, T sum) const {
    const int64_t at = to.at + m * s.out;
    const T value = bias ? sum + bias[to.first + m] : sum;
    if (before) before[at] = value;
    z[at] = activate(activation, value);
  }
};

// --- dx [C, places of x] = w^T [C, (o, ky, kx)] dz [(o, ky, kx), places of x]

template <class Type>
struct InputGradient {
  using T = Type;
  using Place = cuda::Place;
  static constexpr bool kAlongK = false;
  int64_t M, N, K, matrices;
  Lengths s;
  Walk walk;
  const T* w;
  Gradient<T> gradient;
  T* dx;

  struct Row {
    const T* w;
  };
  struct Column {
    int64_t image;  ///< its first element of dz, or -1
    int y, x;       ///< the place with the padding before it
  };
  struct Target {
    int64_t at;
  };
  __device__ Row row(int64_t group, int64_t m) const {
    return {m < M ? w + group * s.O * s.w_output + m * s.area : nullptr};
  }
  __device__ Column column(int64_t group, int64_t n) const {
    const Spot at = spot_of(n, s.N, s.H, s.W);
    return {at.inside ? at.image * s.z_image + group * s.O * s.out : -1, at.y + s.padding_h,
            at.x + s.padding_w};
  }
  __device__ Place place(int64_t k) const { return walk.at(k); }
  __device__ void advance(Place& k) const { walk.advance(k); }
  __device__ T a(const Row& row, const Place& k) const {
    return row.w ? row.w[k.i * s.w_output + k.y * s.KW + k.x] : T(0);
  }
  /// The output place whose window begins at `at`, or -1 if none does.
  static __device__ int begins(int at, int stride, int outputs) {
    const int place = stride == 1 ? at : at / stride;
    return at >= 0 && place * stride == at && place < outputs ? place : -1;
  }
  __device__ T b(const Column& column, const Place& k) const {
    const int y = begins(column.y - k.y * s.dilation_h, s.stride_h, s.OH);
    const int x = begins(column.x - k.x * s.dilation_w, s.stride_w, s.OW);
    if (column.image < 0 || y < 0 || x < 0) return T(0);
    return gradient.at(column.image + k.i * s.out + static_cast<int64_t>(y) * s.OW + x);
  }
  __device__ Target target(int64_t group, int64_t n) const {
    const int64_t image = divide(n, s.in);
    return {image * s.x_image + group * M * s.in + n - image * s.in};
  }
  __device__ void store(const Target& to, int64_t m, int64_t, T sum) const {
    dx[to.at + m * s.in] = sum;
  }
};

// --- dw, db [O, (c, ky, kx) and 1] = dz [O, places] x^T [places, (c, ky, kx) and 1]

template <class Type>
struct WeightGradient {
  using T = Type;
  using Place = cuda::Place;
  static constexpr bool kAlongK = true;
  int64_t M, N, K, matrices;
  Lengths s;
  Walk walk;
  int64_t first;  ///< column: 0, or behind dw where only db is wanted
  const T* x;
  Gradient<T> gradient;
  T *dw, *db;
  int64_t dw_part, db_part;  ///< elements from one part's sums to the next's

  struct Row {
    int64_t at;  ///< the channel in the first image, or -1
  };
  struct Column {
    const T* plane;
    int y, x;  ///< the place in the kernel, less the padding
    bool ones;
  };
  struct Target {
    T* first;
    int64_t step, part;
  };
  __device__ Row row(int64_t group, int64_t m) const {
    return {m < M ? (group * M + m) * s.out : -1};
  }
  __device__ Column column(int64_t group, int64_t n) const {
    const int64_t j = n + first, c = divide(j, s.area);
    if (n >= N || c >= s.C) return {nullptr, 0, 0, n < N};
    const int k = static_cast<int>(j - c * s.area), y = k / s.KW;
    return {x + (group * s.C + c) * s.in, y * s.dilation_h - s.padding_h,
            (k - y * s.KW) * s.dilation_w - s.padding_w, false};
  }
  __device__ Place place(int64_t k) const { return walk.at(k); }
  __device__ void advance(Place& k) const { walk.advance(k); }
  __device__ T a(const Row& row, const Place& k) const {
    if (row.at < 0) return T(0);
    return gradient.at(row.at + k.i * s.z_image + static_cast<int64_t>(k.y) * s.OW + k.x);
  }
  __device__ T b(const Column& column, const Place& k) const {
    if (!column.plane) return column.ones ? T(1) : T(0);
    const int at_y = k.y * s.stride_h + column.y, at_x = k.x * s.stride_w + column.x;
    if (at_y < 0 || at_y >= s.H || at_x < 0 || at_x >= s.W) return T(0);
    return column.plane[k.i * s.x_image + static_cast<int64_t>(at_y) * s.W + at_x];
  }
  __device__ Target target(int64_t group, int64_t n) const {
    const int64_t columns = s.w_output, j = n + first;
    if (j < columns) return {dw + group * M * columns + j, columns, dw_part};
    return {db + group * M, 1, db_part};
  }
  __device__ void store(const Target& to, int64_t m, int64_t part, T sum) const {
    to.first[part * to.part + m * to.step] = sum;
  }
};

// --- launching --------------------------------------------------------------------------------

constexpr char kTooLarge[] =
    "the GPU takes at most 2^30 images, places along a padded axis, and weights a channel";

/// What all three products have; K goes over so many times [Y, X]. False if 32 bits do not hold it.
template <class Problem>
bool set_up(Problem& p, const ConvShape& s, int64_t M, int64_t N, int64_t times, int64_t Y,
            int64_t X) {
  p.M = M;
  p.N = N;
  p.K = times * Y * X;
  p.matrices = s.groups;
  p.walk = Walk::over(Y, X);
  return lengths_of(s, &p.s);
}

template <class T>
Failure forward(const ConvArgs& a) {
  const ConvShape& s = a.shape;
  Forward<T> p{};
  if (!set_up(p, s, s.group_O(), s.N * s.OH * s.OW, s.group_C(), s.KH, s.KW)) return kTooLarge;
  p.x = static_cast<const T*>(a.x);
  p.w = static_cast<const T*>(a.w);
  p.bias = static_cast<const T*>(a.bias);
  p.z = static_cast<T*>(a.z);
  p.before = static_cast<T*>(a.before);
  p.activation = a.activation;
  return multiply_in_tiles(p, 1);
}

template <class T>
Gradient<T> gradient_of(const ConvArgs& a) {
  return {static_cast<const T*>(a.dz), static_cast<const T*>(a.relu_z)};
}

template <class T>
Failure input_gradient(const ConvArgs& a) {
  const ConvShape& s = a.shape;
  InputGradient<T> p{};
  if (!set_up(p, s, s.group_C(), s.N * s.H * s.W, s.group_O(), s.KH, s.KW)) return kTooLarge;
  p.w = static_cast<const T*>(a.w);
  p.gradient = gradient_of<T>(a);
  p.dx = static_cast<T*>(a.dx);
  return multiply_in_tiles(p, 1);
}

/// Straight to dw and db, or parts of the places to partial sums first.
template <class T>
Failure weight_gradient(const ConvArgs& a) {
  const ConvShape& s = a.shape;
  const int64_t columns = s.group_C() * s.KH * s.KW;
  T* const partials = static_cast<T*>(a.partials);
  T *const dw = static_cast<T*>(a.dw), *const db = static_cast<T*>(a.db);
  WeightGradient<T> p{};
  const int64_t width = (dw ? columns : 0) + (db ? 1 : 0);
  if (!set_up(p, s, s.group_O(), width, s.N, s.OH, s.OW)) return kTooLarge;
  p.first = dw ? 0 : columns;
  p.x = static_cast<const T*>(a.x);
  p.gradient = gradient_of<T>(a);
  p.dw_part = dw ? s.weights() : 0;
  p.db_part = db ? s.O : 0;
  p.dw = a.parts > 1 ? partials : dw;
  p.db = a.parts > 1 ? partials + a.parts * p.dw_part : db;
  Failure failure = multiply_in_tiles(p, a.parts);
  if (failure || a.parts == 1) return failure;
  failure = sum_columns<T>(p.dw, a.parts, p.dw_part, dw);
  return failure ? failure : sum_columns<T>(p.db, a.parts, p.db_part, db);
}

/// Enough parts to keep the device busy, of at least 64 places each.
int64_t conv_parts(const ConvShape& s) {
  constexpr int64_t kLeastPlaces = 64;
  const int64_t tiles =
      s.groups * ((s.group_O() + 31) / 32) * ((s.group_C() * s.KH * s.KW + 1 + 31) / 32);
  const int64_t wanted = (2 * int64_t{multiprocessors()} + tiles - 1) / tiles;
  const int64_t places = s.N * s.OH * s.OW, most = places / kLeastPlaces;
  const int64_t parts = wanted < most ? wanted : most > 1 ? most : 1;
  // As multiply_in_tiles() cuts them: none without a place.
  const int64_t length = ((places + parts - 1) / parts + kDeepest - 1) / kDeepest * kDeepest;
  return places > 0 ? (places + length - 1) / length : 1;
}

Failure conv_forward(const ConvArgs& args) {
  return for_floating(args.dtype, [&]<class T>() { return forward<T>(args); });
}

Failure conv_backward(const ConvArgs& args) {
  return for_floating(args.dtype, [&]<class T>() -> Failure {
    const Failure failure = args.dx ? input_gradient<T>(args) : nullptr;
    if (failure || !(args.dw || args.db)) return failure;
    return weight_gradient<T>(args);
  });
}

}  // namespace

const ConvFunctions conv_functions = {
    .forward = conv_forward,
    .backward = conv_backward,
    .parts = conv_parts,
};

}  // namespace normlab::cuda
