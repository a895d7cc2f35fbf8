#include "backend/onednn.h"
#include "core/dispatch.h"
#include "ops/activation.h"
#include "ops/elementwise.h"
#include "ops/matmul.h"

namespace normlab {
namespace {

void check_linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  check_same("linear", x, weight);
  check<DtypeError>(is_floating(x.dtype()), "linear", "x must be float32 or float64, got ",
                    x.dtype());
  check(x.rank() >= 1, "linear", "x must have at least one axis, got a scalar");
  check(weight.rank() == 2, "linear", "weight must be [out, in], got ", weight.shape());
  check(x.size(-1) == weight.size(1), "linear", "the last axis of x ", x.shape(), " must be ",
        weight.size(1), " long for weight ", weight.shape());
  if (!bias.defined()) return;
  check_same("linear", x, bias);
  check(bias.shape() == Shape{weight.size(0)}, "linear", "bias must be [", weight.size(0),
        "] for weight ", weight.shape(), ", got ", bias.shape());
}

/// The lengths of one call; rows counts all axes of x but the last.
struct Lengths {
  int64_t rows, in, out;
};

Shape with_last(Shape shape, int64_t length) {
  shape[-1] = length;
  return shape;
}

template <class T>
Tensor forward(const Tensor& x, const Tensor& weight, const Tensor& bias, Activation activation,
               const Lengths& n, Tensor& before) {
  Tensor z = Tensor::empty(with_last(x.shape(), n.out), x.dtype());
  MatrixProduct<T> p;
  const bool turn = n.rows >= kRowsToTurn;
  const Tensor right = turn ? transpose(weight.detach()) : weight;
  p.a = x.data<T>();
  p.b = right.data<T>();
  p.c = z.data<T>();
  p.b_transposed = !turn;
  p.M = n.rows;
  p.N = n.out;
  p.K = n.in;
  p.bias = bias.defined() ? bias.data<T>() : nullptr;
  p.before = before.defined() ? before.data<T>() : nullptr;
  p.activation = activation;
  multiply("linear", p);
  return z;
}

/// dx = dpre weight.
template <class T>
Tensor input_gradient(const Tensor& dpre, const Tensor& weight, const Lengths& n) {
  Tensor dx = Tensor::empty(with_last(dpre.shape(), n.in), dpre.dtype());
  MatrixProduct<T> p;
  p.a = dpre.data<T>();
  p.b = weight.data<T>();
  p.c = dx.data<T>();
  p.M = n.rows;
  p.N = n.in;
  p.K = n.out;
  multiply("linear", p);
  return dx;
}

/// dweight = dpre^T x.
template <class T>
Tensor weight_gradient(const Tensor& dpre, const Tensor& x, const Lengths& n) {
  Tensor dw = Tensor::empty({n.out, n.in}, x.dtype());
  MatrixProduct<T> p;
  p.a = dpre.data<T>();
  p.b = x.data<T>();
  p.c = dw.data<T>();
  p.a_transposed = true;
  p.M = n.out;
  p.N = n.in;
  p.K = n.rows;
  multiply("linear", p);
  return dw;
}

/// The gradient before the activation; dz itself if there is none.
template <class T>
Tensor before_activation(const Tensor& dz, const Saved& kept, Activation activation) {
  if (activation == Activation::none) return dz;
  Tensor dpre = Tensor::empty(dz.shape(), dz.dtype());
  activation_backward(dz.data<T>(), kept.get().data<T>(), dpre.data<T>(), dz.numel(), activation);
  return dpre;
}

}  // namespace

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias, Activation activation) {
  check_linear(x, weight, bias);
  const Lengths n = {x.shape().numel(0, x.rank() - 1), weight.size(1), weight.size(0)};
  const bool recorded = needs_grad({x, weight, bias});
  return dispatch_floating("linear", x.dtype(), [&]<class T>() {
    Tensor before;
    if (recorded && keeps_input(activation))
      before = Tensor::empty(with_last(x.shape(), n.out), x.dtype());
    Tensor z = forward<T>(x, weight, bias, activation, n, before);
    if (!recorded) return z;
    Saved kept, kept_x, kept_weight;
    if (activation != Activation::none) kept = Saved(before.defined() ? before : z);
    if (weight.requires_grad()) kept_x = Saved(x);
    if (x.requires_grad()) kept_weight = Saved(weight);
    return record("linear", std::move(z), {x, weight, bias},
                  [=](const Tensor& dz, Needs needs) -> Grads {
                    const Tensor dpre = before_activation<T>(dz, kept, activation);
                    Grads grads(3);
                    if (needs[0]) grads[0] = input_gradient<T>(dpre, kept_weight.get(), n);
                    if (needs[1]) grads[1] = weight_gradient<T>(dpre, kept_x.get(), n);
                    if (needs[2]) grads[2] = sum(dpre.reshape({n.rows, n.out}), {0});
                    return grads;
                  });
  });
}

}  // namespace normlab
