#include "ops/segments.h"

#include <algorithm>

#include "core/dispatch.h"
#include "core/tensor_impl.h"
#include "cpu/parallel.h"
#include "cuda/library.h"
#include "normlab/ops.h"
#include "ops/segments_cuda.h"

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

// --- on the GPU -------------------------------------------------------------------------------

cuda::SegmentArgs gpu_args(const char* op, const Tensor& offsets, int64_t rows, int64_t size,
                           const char* name = "offsets") {
  return {.offsets = static_cast<const int64_t*>(device_data(offsets)),
          .sentences = offsets.numel() - 1,
          .rows = rows,
          .size = size,
          .check = cuda::value_check(op, offsets.shape(), rows, name)};
}

Tensor means_on_gpu(const Tensor& x, const Tensor& offsets) {
  const int64_t size = x.size(1);
  const Tensor z = Tensor::empty({offsets.numel() - 1, size}, x.dtype(), Device::cuda);
  cuda::call("segment_mean", cuda::backend().segments->mean, x.dtype(),
             gpu_args("segment_mean", offsets, x.size(0), size), device_data(x), device_data(z));
  return z;
}

Tensor spread_on_gpu(const Tensor& dz, const Tensor& offsets, int64_t rows) {
  const int64_t size = dz.size(1);
  const Tensor dx = Tensor::empty({rows, size}, dz.dtype(), Device::cuda);
  cuda::call("segment_mean", cuda::backend().segments->mean_backward, dz.dtype(),
             gpu_args("segment_mean", offsets, rows, size), device_data(dz), device_data(dx));
  return dx;
}

}  // namespace

Tensor positions_on_gpu(const Tensor& offsets, int64_t rows, int64_t size, double scale) {
  const Tensor z = Tensor::empty({rows, size}, DType::float32, Device::cuda);
  cuda::call("positions", cuda::backend().segments->positions,
             gpu_args("positions", offsets, rows, size), scale,
             static_cast<float*>(device_data(z)));
  return z;
}

Tensor one_sentence(const Tensor& x) {
  // Filled where it lies, so that a graph can capture it.
  Tensor offsets = Tensor::full({2}, static_cast<double>(x.size(0)), DType::int64, x.device());
  offsets.slice(0, 1).fill_(0);
  return offsets;
}

void check_offsets(const char* op, const Tensor& offsets, const Tensor& x, const char* name) {
  const int64_t rows = x.size(0);
  check<DtypeError>(offsets.dtype() == DType::int64, op, name, " must be int64, got ",
                    offsets.dtype());
  check(offsets.rank() == 1 && offsets.numel() > 0, op, name, " must be [S + 1], got ",
        offsets.shape());
  check<DeviceError>(offsets.device() == x.device(), op, name, " must be on ", x.device(),
                     " as what they divide, are on ", offsets.device());
  if (x.device() == Device::cuda) {
    if (rows == 0)
      cuda::call(op, cuda::backend().segments->check, gpu_args(op, offsets, rows, 0, name));
    return;
  }
  check_offset_values(op, offsets, rows, name);
}

void check_offset_values(const char* op, const Tensor& offsets, int64_t rows, const char* name) {
  const int64_t* at = offsets.data<int64_t>();
  const int64_t last = offsets.numel() - 1;
  check<ArgumentError>(at[0] == 0, op, name, " must begin with 0, got ", at[0]);
  for (int64_t i = 0; i < last; ++i)
    check<ArgumentError>(at[i] <= at[i + 1], op, name, " must not fall, got ", at[i], " and then ",
                         at[i + 1], " at ", i + 1);
  check<ArgumentError>(at[last] == rows, op, name, " must end with the number of rows, ", rows,
                       ", got ", at[last]);
}

Tensor segment_mean(const Tensor& x, const Tensor& offsets) {
  check<DtypeError>(carries_gradient(x.dtype()), "segment_mean",
                    "x must be float32 or float64, got ", x.dtype());
  check(x.rank() == 2, "segment_mean", "x must be [T, D], got ", x.shape());
  check_offsets("segment_mean", offsets, x);
  if (x.device() == Device::cuda)
    return record("segment_mean", means_on_gpu(x, offsets), {x},
                  [kept = Saved(offsets), rows = x.size(0)](const Tensor& dz, Needs) -> Grads {
                    return {spread_on_gpu(dz, kept.get(), rows)};
                  });
  if (is_stored_only(x)) return segment_mean(x.to(DType::float32), offsets).to(DType::bfloat16);
  return dispatch_floating("segment_mean", x.dtype(), [&]<class T>() {
    return record("segment_mean", means<T>(x, offsets), {x},
                  [kept = Saved(offsets), rows = x.size(0)](const Tensor& dz, Needs) -> Grads {
                    return {spread<T>(dz, kept.get(), rows)};
                  });
  });
}

}  // namespace normlab
