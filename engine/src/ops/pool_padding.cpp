#include "ops/pool_padding.h"

#include <algorithm>

namespace normlab {

namespace {

/// Number of places of [begin, begin + length) in [0, n).
int64_t inside(int64_t begin, int64_t length, int64_t n) {
  return std::min(begin + length, n) - std::max<int64_t>(begin, 0);
}

}  // namespace

PoolShape padded_shape(PoolShape s) {
  s.H += 2 * s.padding_h;
  s.W += 2 * s.padding_w;
  s.padding_h = s.padding_w = 0;
  if (s.divisor == 0) s.divisor = 1;  // see divide_by_counts()
  return s;
}

template <class T>
void pad_plane(const PoolShape& s, const T* x, T value, T* to) {
  to = std::fill_n(to, s.padding_h * (s.W + 2 * s.padding_w), value);
  for (int64_t y = 0; y < s.H; ++y) {
    to = std::fill_n(to, s.padding_w, value);
    to = std::copy_n(x + y * s.W, s.W, to);
    to = std::fill_n(to, s.padding_w, value);
  }
  std::fill_n(to, s.padding_h * (s.W + 2 * s.padding_w), value);
}

void cut_winners(const PoolShape& s, int32_t* winner) {
  const int64_t step = s.W + 2 * s.padding_w;
  for (int64_t i = 0; i < s.OH * s.OW; ++i) {
    const int64_t y = winner[i] / step - s.padding_h, x = winner[i] % step - s.padding_w;
    const int64_t row = std::clamp<int64_t>(y, 0, s.H - 1);
    winner[i] = static_cast<int32_t>(row * s.W + std::clamp<int64_t>(x, 0, s.W - 1));
  }
}

template <class T>
void divide_by_counts(const PoolShape& s, T* z) {
  for (int64_t y = 0; y < s.OH; ++y) {
    const int64_t rows = inside(y * s.stride_h - s.padding_h, s.KH, s.H);
    for (int64_t x = 0; x < s.OW; ++x)
      *z++ /= static_cast<T>(rows * inside(x * s.stride_w - s.padding_w, s.KW, s.W));
  }
}

template void pad_plane(const PoolShape&, const float*, float, float*);
template void pad_plane(const PoolShape&, const double*, double, double*);
template void divide_by_counts(const PoolShape&, float*);
template void divide_by_counts(const PoolShape&, double*);

}  // namespace normlab
