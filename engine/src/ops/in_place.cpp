#include "normlab/ops.h"

// Arithmetic in place.

namespace normlab {
namespace {

void check_off_tape(const char* op, const Tensor& x) {
  check<GradError>(!(x.requires_grad() && x.is_leaf() && grad_enabled()), op,
                   "a leaf that requires a gradient is changed in place within nl.no_grad() alone");
}

void replace_values(const char* op, Tensor& x, const Tensor& y) {
  check(y.shape() == x.shape(), op, "x has shape ", x.shape(), " and the result ", y.shape(),
        ", which does not fit in its place; write x = x + y or the like");
  check<DtypeError>(y.dtype() == x.dtype(), op, "x is ", x.dtype(), " and the result ", y.dtype(),
                    ", which does not fit in its place; write x = x / y or the like");
  x.copy_(y);
}

/// alpha * b, in x's dtype if b is a number.
Operand scaled(const Operand& b, const Scalar& alpha, const Tensor& x) {
  if (alpha.real() == 1) return b;
  const auto* number = std::get_if<Scalar>(&b);
  return mul(number ? Tensor::full({}, *number, x.dtype(), x.device()) : std::get<Tensor>(b),
             alpha);
}

}  // namespace

void change(const char* op, BinaryFunction f, Tensor& x, const Operand& b, Scalar alpha) {
  check_off_tape(op, x);
  const Tensor y = f(x, scaled(b, alpha, x));
  check<GradError>(x.is_leaf() && !y.requires_grad(), op,
                   "what is recorded cannot be changed in place; write x = x + y or the like");
  replace_values(op, x, y);
}

Tensor change_or_replace(const char* op, BinaryFunction f, Tensor& x, const Operand& b) {
  check_off_tape(op, x);
  const Tensor y = f(x, b);
  if (y.requires_grad() || !x.is_leaf()) return y;
  replace_values(op, x, y);
  return x;
}

}  // namespace normlab
