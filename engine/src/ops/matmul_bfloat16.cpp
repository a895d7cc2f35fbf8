#include <optional>

#include "core/bfloat16.h"
#include "core/bfloat16_products.h"
#include "core/onednn.h"
#include "ops/matmul.h"

namespace normlab {
namespace {

using onednn::Scratch;

constexpr int64_t kFloat = sizeof(float), kShort = sizeof(bfloat16);

/// n values of an operand, rounded: as bfloat16 where that is wanted, else as float.
class Rounded {
 public:
  Rounded(const void* x, DType dtype, int64_t n, bool as_bfloat16) : data_(x) {
    const bool is_bfloat16 = dtype == DType::bfloat16;
    if (is_bfloat16 && as_bfloat16) return;
    copy_.emplace(n * (as_bfloat16 ? kShort : kFloat));
    data_ = copy_->as();
    if (is_bfloat16)
      convert_values(static_cast<const bfloat16*>(x), copy_->as<float>(), n);
    else if (as_bfloat16)
      convert_values(static_cast<const float*>(x), copy_->as<bfloat16>(), n);
    else
      round_to_bfloat16(static_cast<const float*>(x), copy_->as<float>(), n);
  }
  const void* data() const { return data_; }

 private:
  std::optional<Scratch> copy_;
  const void* data_;
};

/// Elements from the first of the first matrix to the last of the last.
int64_t extent(int64_t matrix, int64_t step, int64_t batch) {
  return (batch - 1) * step + matrix;
}

/// The operands have p's dtype, the result is float32.
void multiply_rounded(const char* op, const MatrixProduct& p) {
  MatrixProduct q = p;
  q.dtype = DType::float32;
  q.bfloat16_operands = bfloat16_unit() != Bfloat16Unit::none && !is_small(p);
  const Rounded a(p.a, p.dtype, extent(p.M * p.K, p.a_step, p.batch), q.bfloat16_operands);
  const Rounded b(p.b, p.dtype, extent(p.K * p.N, p.b_step, p.batch), q.bfloat16_operands);
  q.a = a.data();
  q.b = b.data();
  multiply_float32(op, q);
}

/// The result is rounded once, behind the activation.
void multiply_stored(const char* op, const MatrixProduct& p) {
  const int64_t n = p.batch * p.M * p.N;
  const Scratch c(n * kFloat), before(p.before ? n * kFloat : 0), bias(p.bias ? p.N * kFloat : 0);
  MatrixProduct q = p;
  q.c = c.as();
  if (p.before) q.before = before.as();
  if (p.bias) {
    convert_values(static_cast<const bfloat16*>(p.bias), bias.as<float>(), p.N);
    q.bias = bias.as();
  }
  multiply_rounded(op, q);
  convert_values(c.as<float>(), static_cast<bfloat16*>(p.c), n);
  if (p.before) convert_values(before.as<float>(), static_cast<bfloat16*>(p.before), n);
}

}  // namespace

void multiply_bfloat16(const char* op, const MatrixProduct& p) {
  if (p.dtype == DType::bfloat16)
    multiply_stored(op, p);
  else
    multiply_rounded(op, p);
}

}  // namespace normlab
