#include "core/dispatch.h"
#include "core/tensor_impl.h"
#include "ops/activation.h"
#include "ops/elementwise.h"
#include "ops/matmul.h"
#include "ops/reduce.h"

namespace normlab {
namespace {

/// A parameter has x's dtype; beside bfloat16 it may be float32.
void check_parameter(const char* name, const Tensor& x, const Tensor& parameter) {
  const bool wider = x.dtype() == DType::bfloat16 && parameter.device() == x.device();
  if (!wider) return check_same("linear", x, parameter);
  check<DtypeError>(parameter.dtype() == DType::bfloat16 || parameter.dtype() == DType::float32,
                    "linear", name, " must be bfloat16 or float32 for x bfloat16, got ",
                    parameter.dtype());
}

void check_linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  check<DtypeError>(carries_gradient(x.dtype()), "linear", "x must be float32 or float64, got ",
                    x.dtype());
  check_parameter("weight", x, weight);
  check(x.rank() >= 1, "linear", "x must have at least one axis, got a scalar");
  check(weight.rank() == 2, "linear", "weight must be [out, in], got ", weight.shape());
  check(x.size(-1) == weight.size(1), "linear", "the last axis of x ", x.shape(), " must be ",
        weight.size(1), " long for weight ", weight.shape());
  if (!bias.defined()) return;
  check_parameter("bias", x, bias);
  check(bias.shape() == Shape{weight.size(0)}, "linear", "bias must be [", weight.size(0),
        "] for weight ", weight.shape(), ", got ", bias.shape());
}

/// The lengths of one call; rows counts all axes of x but the last.
struct LinearShape {
  int64_t rows, in, out;
};

Shape with_last(Shape shape, int64_t length) {
  shape[-1] = length;
  return shape;
}

/// `by_dots`: few rows do not depend on their company, as in decoding. What is recorded goes
/// through oneDNN, whose results the studies have.
Tensor forward(const Tensor& x, const Tensor& weight, const Tensor& bias, Activation activation,
               const LinearShape& n, const Tensor& before, bool by_dots) {
  Tensor z = Tensor::empty(with_last(x.shape(), n.out), x.dtype(), x.device());
  const bool turn = x.device() == Device::cpu && n.rows >= kRowsToTurn;
  const Tensor right = turn ? transpose(weight.detach()) : weight;
  MatrixProduct p = product_of(x, right, z);
  p.b_transposed = !turn;
  p.by_dots = by_dots && !turn;
  p.M = n.rows;
  p.N = n.out;
  p.K = n.in;
  const Tensor added = bias.defined() ? bias.detach().to(x.dtype()) : bias;
  p.bias = device_data_or_null<void>(added);
  p.before = device_data_or_null<void>(before);
  p.activation = activation;
  multiply("linear", p);
  return z;
}

/// dx = dpre weight.
Tensor input_gradient(const Tensor& dpre, const Tensor& weight, const LinearShape& n) {
  Tensor dx = Tensor::empty(with_last(dpre.shape(), n.in), dpre.dtype(), dpre.device());
  MatrixProduct p = product_of(dpre, weight, dx);
  p.M = n.rows;
  p.N = n.in;
  p.K = n.out;
  multiply("linear", p);
  return dx;
}

/// dweight = dpre^T x.
Tensor weight_gradient(const Tensor& dpre, const Tensor& x, const LinearShape& n) {
  Tensor dw = Tensor::empty({n.out, n.in}, x.dtype(), x.device());
  MatrixProduct p = product_of(dpre, x, dw);
  p.a_transposed = true;
  p.M = n.out;
  p.N = n.in;
  p.K = n.rows;
  multiply("linear", p);
  return dw;
}

/// The weight has x's dtype; the bias of bfloat16 may be float32.
Tensor run(const Tensor& x, const Tensor& weight, const Tensor& bias, Activation activation) {
  const LinearShape n = {x.shape().numel(0, x.rank() - 1), weight.size(1), weight.size(0)};
  const bool recorded = needs_grad({x, weight, bias});
  Tensor before;
  if (recorded && keeps_input(activation))
    before = Tensor::empty(with_last(x.shape(), n.out), x.dtype(), x.device());
  Tensor z = forward(x, weight, bias, activation, n, before, !recorded);
  if (!recorded) return z;
  Saved kept, kept_x, kept_weight;
  if (activation != Activation::none) kept = Saved(before.defined() ? before : z);
  if (weight.requires_grad()) kept_x = Saved(x);
  if (x.requires_grad()) kept_weight = Saved(weight);
  const DType bias_dtype = bias.defined() ? bias.dtype() : x.dtype();
  return record("linear", std::move(z), {x, weight, bias},
                [=](const Tensor& dz, Needs needs) -> Grads {
                  const Tensor dpre = activation_gradient("linear", activation, dz, kept);
                  Grads grads(3);
                  if (needs[0]) grads[0] = input_gradient(dpre, kept_weight.get(), n);
                  if (needs[1]) grads[1] = weight_gradient(dpre, kept_x.get(), n);
                  if (needs[2]) grads[2] = column_sums("linear", dpre, n.out).to(bias_dtype);
                  return grads;
                });
}

}  // namespace

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias, Activation activation) {
  check_linear(x, weight, bias);
  // On the tape: the gradient has the weight's own dtype.
  return run(x, weight.to(x.dtype()), bias, activation);
}

}  // namespace normlab
