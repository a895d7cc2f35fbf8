#pragma once

#include <cstdint>
#include <optional>

#include "cpu/isa.h"
#include "cuda/fault.h"
#include "normlab/autograd.h"

namespace normlab {

/// Sums of chosen rows of x, each `width` elements long: z = x[order[0]] + x[order[1]] + ... in
/// that order, in float64. count >= 1.
struct IndexingKernels {
  void (*sum_float)(const float* x, const int64_t* order, int64_t count, int64_t width, float* z);
  void (*sum_double)(const double* x, const int64_t* order, int64_t count, int64_t width,
                     double* z);
};
NORMLAB_KERNEL_TABLE(IndexingKernels, indexing_kernels)

/// The rows of dz [index.shape, ...], summed for each index: the gradient of a tensor of that shape
/// from which they were taken. Those of index `without` count nothing.
SparseRows summed_rows(const Tensor& dz, const Tensor& index, const Shape& shape,
                       std::optional<int64_t> without = std::nullopt);

/// take() on the GPU under the name `op`, where its indices are checked as `kind` says. The
/// gradient of x is dense.
Tensor taken_on_gpu(const char* op, const Tensor& x, const Tensor& index, cuda::FaultKind kind,
                    std::optional<int64_t> without = std::nullopt);

}  // namespace normlab
