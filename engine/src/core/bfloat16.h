#pragma once

#include <cstdint>

#include "cpu/isa.h"
#include "normlab/bfloat16.h"
#include "normlab/tensor.h"

namespace normlab {

struct Bfloat16Kernels {
  void (*round)(const float* from, float* to, int64_t n);  ///< to bfloat16's values, kept as float
  void (*narrow)(const float* from, bfloat16* to, int64_t n);
  void (*add)(bfloat16* into, const bfloat16* from, int64_t n);  ///< rounds the sums
  void (*widen)(const bfloat16* from, float* to, int64_t n);
};
NORMLAB_KERNEL_TABLE(Bfloat16Kernels, bfloat16_kernels)

/// Conversions of n elements, on all threads. Rounding is to nearest, ties to even.
void round_to_bfloat16(const float* from, float* to, int64_t n);
void convert_values(const float* from, bfloat16* to, int64_t n);
void convert_values(const bfloat16* from, float* to, int64_t n);

/// True if the CPU's products of this dtype take bfloat16: the dtype itself, or float32 where
/// matmul_precision() asks for it.
bool multiplies_bfloat16(DType dtype);

/// A float32 copy of x, float32 or bfloat16 on the CPU, rounded to bfloat16.
Tensor rounded_to_bfloat16(const Tensor& x);

}  // namespace normlab
