#include "ops/segments.h"

#include <algorithm>

#include "backend/parallel.h"
#include "core/dispatch.h"
#include "normlab/ops.h"

namespace normlab {
namespace {

void sum_rows(const float* x, int64_t rows, int64_t size, float factor, float* z) {
  segment_kernels_for_cpu().sum(x, rows, size, factor, z);
}
void sum_rows(const double* x, int64_t rows, int64_t size, double factor, double* z) {
  for (int64_t j = 0; j < size; ++j) {
    double total = 0;
    for (int64_t i = 0; i < rows; ++i) total += x[i * size + j];
    z[j] = total * factor;
  }
}

/// Calls body(sentence, first row, rows, 1 / rows); the factor of no rows is 0.
template <class T, class Body>
void for_segments(const Tensor& offsets, int64_t cost, const Body& body) {
  const int64_t* at = offsets.data<int64_t>();
  parallel_for(offsets.numel() - 1, cost, [&](int64_t s) {
    const int64_t rows = at[s + 1] - at[s];
    body(s, at[s], rows, rows == 0 ? T(0) : T(1) / static_cast<T>(rows));
  });
}

template <class T>
Tensor means(const Tensor& x, const Tensor& offsets) {
  const int64_t sentences = offsets.numel() - 1, size = x.size(1);
  Tensor z = Tensor::empty({sentences, size}, x.dtype());
  const T* from = x.data<T>();
  T* to = z.data<T>();
  for_segments<T>(offsets, size * (x.size(0) / std::max<int64_t>(sentences, 1) + 1),
                  [&](int64_t s, int64_t first, int64_t rows, T factor) {
                    sum_rows(from + first * size, rows, size, factor, to + s * size);
                  });
  return z;
}

template <class T>
Tensor spread(const Tensor& dz, const Tensor& offsets, int64_t rows) {
  const int64_t sentences = offsets.numel() - 1, size = dz.size(1);
  Tensor dx = Tensor::empty({rows, size}, dz.dtype());
  const T* from = dz.data<T>();
  T* to = dx.data<T>();
  for_segments<T>(offsets, size * (rows / std::max<int64_t>(sentences, 1) + 1),
                  [&](int64_t s, int64_t first, int64_t n, T factor) {
                    for (int64_t i = first; i < first + n; ++i)
                      for (int64_t j = 0; j < size; ++j)
                        to[i * size + j] = from[s * size + j] * factor;
                  });
  return dx;
}

}  // namespace

void check_offsets(const char* op, const Tensor& offsets, int64_t rows) {
  check<DtypeError>(offsets.dtype() == DType::int64, op, "offsets must be int64, got ",
                    offsets.dtype());
  check(offsets.rank() == 1 && offsets.numel() > 0, op, "offsets must be [S + 1], got ",
        offsets.shape());
  const int64_t* at = offsets.data<int64_t>();
  const int64_t last = offsets.numel() - 1;
  check<ValueError>(at[0] == 0, op, "offsets must begin with 0, got ", at[0]);
  for (int64_t i = 0; i < last; ++i)
    check<ValueError>(at[i] <= at[i + 1], op, "offsets must not fall, got ", at[i], " and then ",
                      at[i + 1], " at ", i + 1);
  check<ValueError>(at[last] == rows, op, "offsets must end with the number of rows, ", rows,
                    ", got ", at[last]);
}

Tensor segment_mean(const Tensor& x, const Tensor& offsets) {
  check<DtypeError>(is_floating(x.dtype()), "segment_mean", "x must be float32 or float64, got ",
                    x.dtype());
  check(x.rank() == 2, "segment_mean", "x must be [T, D], got ", x.shape());
  check_offsets("segment_mean", offsets, x.size(0));
  return dispatch_floating("segment_mean", x.dtype(), [&]<class T>() {
    return record("segment_mean", means<T>(x, offsets), {x},
                  [kept = Saved(offsets), rows = x.size(0)](const Tensor& dz, Needs) -> Grads {
                    return {spread<T>(dz, kept.get(), rows)};
                  });
  });
}

}  // namespace normlab
