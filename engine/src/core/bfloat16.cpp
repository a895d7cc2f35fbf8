#include "core/bfloat16.h"

#include "cpu/parallel.h"
#include "normlab/matmul_precision.h"

namespace normlab {
namespace {

template <class From, class To>
void in_blocks(void (*convert)(const From*, To*, int64_t), const From* from, To* to, int64_t n) {
  parallel_blocks(n, 16384, 1, [&](int64_t begin, int64_t end) {
    convert(from + begin, to + begin, end - begin);
  });
}

}  // namespace

void round_to_bfloat16(const float* from, float* to, int64_t n) {
  in_blocks(bfloat16_kernels_for_cpu().round, from, to, n);
}
void convert_values(const float* from, bfloat16* to, int64_t n) {
  in_blocks(bfloat16_kernels_for_cpu().narrow, from, to, n);
}
void convert_values(const bfloat16* from, float* to, int64_t n) {
  in_blocks(bfloat16_kernels_for_cpu().widen, from, to, n);
}

bool multiplies_bfloat16(DType dtype) {
  return dtype == DType::bfloat16 ||
         (dtype == DType::float32 && matmul_precision() == MatmulPrecision::bfloat16);
}

Tensor rounded_to_bfloat16(const Tensor& x) {
  Tensor z = Tensor::empty(x.shape());
  float* to = z.data<float>();
  if (x.dtype() == DType::bfloat16)
    convert_values(x.data<bfloat16>(), to, x.numel());
  else
    round_to_bfloat16(x.data<float>(), to, x.numel());
  return z;
}

}  // namespace normlab
