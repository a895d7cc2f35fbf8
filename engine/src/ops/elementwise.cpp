#include "ops/elementwise.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "backend/cuda.h"
#include "backend/parallel.h"
#include "core/dispatch.h"
#include "core/tensor_impl.h"

namespace normlab {
namespace {

constexpr int64_t kBlock = 4096;

int index_of(DType dtype) {
  return static_cast<int>(dtype);
}

/// The loop for x's dtype; DtypeError if the op has none. The GPU takes bfloat16 wherever the CPU
/// takes float32.
template <class Loop>
Loop loop_for(const char* op, const Loop (&loops)[kDTypes], DType dtype, Device device) {
  const bool as_float = dtype == DType::bfloat16 && device == Device::cuda;
  const Loop loop = loops[index_of(as_float ? DType::float32 : dtype)];
  if (loop) return loop;
  check<DtypeError>(dtype != DType::boolean, op,
                    "bool has no arithmetic; to('int32') or to('float32') converts");
  fail<DtypeError>(op, "needs float32 or float64, got ", dtype, "; to('float32') converts");
}

void* at(const Tensor& x, int64_t i) {
  return static_cast<char*>(x.raw()) + i * size_of(x.dtype());
}

const cuda::ElementwiseFunctions& on_gpu() {
  return *cuda::backend().elementwise;
}

Tensor unary_gradient(Unary which, const Tensor& dz, const Tensor& kept) {
  const UnaryOp& op = elementwise_ops_for_cpu().unary[static_cast<int>(which)];
  Tensor dx = Tensor::empty(dz.shape(), dz.dtype(), dz.device());
  if (dz.device() == Device::cuda) {
    cuda::call(op.name, on_gpu().unary_backward, which, dz.dtype(), device_data(dz),
               kept ? device_data(kept) : nullptr, device_data(dx), dz.numel());
    return dx;
  }
  const UnaryGradLoop loop = op.backward[index_of(dz.dtype())];
  parallel_blocks(dz.numel(), kBlock, op.cost, [&](int64_t begin, int64_t end) {
    const void* value = kept ? at(kept, begin) : nullptr;
    loop(at(dz, begin), value, value, at(dx, begin), end - begin);
  });
  return dx;
}

Tensor apply(Unary which, const Tensor& x) {
  const UnaryOp& op = elementwise_ops_for_cpu().unary[static_cast<int>(which)];
  const UnaryLoop loop = loop_for(op.name, op.forward, x.dtype(), x.device());
  Tensor z = Tensor::empty(x.shape(), x.dtype(), x.device());
  if (x.device() == Device::cuda)
    cuda::call(op.name, on_gpu().unary, which, x.dtype(), device_data(x), device_data(z),
               x.numel());
  else
    parallel_blocks(x.numel(), kBlock, op.cost, [&](int64_t begin, int64_t end) {
      loop(at(x, begin), at(z, begin), end - begin);
    });
  if (!needs_grad({x})) return z;
  if (op.reads == Reads::no_derivative) return record_no_derivative(op.name, z, {x});
  const Saved kept = op.reads == Reads::x ? Saved(x) : op.reads == Reads::z ? Saved(z) : Saved();
  return record(op.name, z, {x}, [which, kept, reads = op.reads](const Tensor& dz, Needs) -> Grads {
    return {unary_gradient(which, dz, reads == Reads::nothing ? Tensor() : kept.get())};
  });
}

/// What backward of a binary op keeps of an operand: its values if a derivative reads them.
struct KeptOperand {
  Shape shape;
  bool read;
  Saved value;

  KeptOperand(const Tensor& x, bool read) : shape(x.shape()), read(read) {
    if (read) value = Saved(x);
  }
  Tensor get(DType dtype) const { return read ? value.get() : Tensor::scalar(0, dtype); }
};

/// The gradient of a, or of b.
Tensor binary_gradient(Binary which, bool of_a, const Tensor& dz, const KeptOperand& a,
                       const KeptOperand& b) {
  const BinaryOp& op = elementwise_ops_for_cpu().binary[static_cast<int>(which)];
  const Shape& shape = of_a ? a.shape : b.shape;
  if ((of_a ? op.da_reads : op.db_reads) == Reads::passes) return sum_to(dz, shape);
  Tensor dx = Tensor::empty(dz.shape(), dz.dtype(), dz.device());
  const Tensor va = a.get(dz.dtype()), vb = b.get(dz.dtype());
  if (dz.device() == Device::cuda) {
    cuda::call(op.name, on_gpu().binary_backward, which, of_a, dz.dtype(),
               broadcast_axes(dz.shape(), {&dz, &va, &vb}), device_data(dz), source_of(va),
               source_of(vb), device_data(dx));
    return sum_to(dx, shape);
  }
  const BinaryGradLoop loop = (of_a ? op.da : op.db)[index_of(dz.dtype())];
  BroadcastLoop(dz.shape(), {&va, &vb})
      .run(op.cost, [&](int64_t begin, int64_t n, const Operand* operands) {
        loop(at(dz, begin), operands[0], operands[1], at(dx, begin), n);
      });
  return sum_to(dx, shape);
}

Tensor record_binary(Binary which, const Tensor& z, const Tensor& a, const Tensor& b) {
  const BinaryOp& op = elementwise_ops_for_cpu().binary[static_cast<int>(which)];
  const auto reads = [&](Reads operand) {
    const auto by = [&](Reads r) { return r == operand || r == Reads::both; };
    return (a.requires_grad() && by(op.da_reads)) || (b.requires_grad() && by(op.db_reads));
  };
  const KeptOperand ka(a, reads(Reads::a)), kb(b, reads(Reads::b));
  return record(op.name, z, {a, b}, [which, ka, kb](const Tensor& dz, Needs needs) -> Grads {
    Grads grads(2);
    if (needs[0]) grads[0] = binary_gradient(which, true, dz, ka, kb);
    if (needs[1]) grads[1] = binary_gradient(which, false, dz, ka, kb);
    return grads;
  });
}

/// Of operands that have passed the checks; one of them may be a number.
Tensor apply_checked(Binary which, const Tensor& a, const Tensor& b, Device device) {
  const BinaryOp& op = elementwise_ops_for_cpu().binary[static_cast<int>(which)];
  const BinaryLoop loop = loop_for(op.name, op.forward, a.dtype(), device);
  const Shape shape = broadcast(op.name, a.shape(), b.shape());
  Tensor z = Tensor::empty(shape, a.dtype(), device);
  if (device == Device::cuda)
    cuda::call(op.name, on_gpu().binary, which, a.dtype(), broadcast_axes(shape, {&a, &b}),
               source_of(a), source_of(b), device_data(z));
  else
    BroadcastLoop(shape, {&a, &b}).run(op.cost, [&](int64_t begin, int64_t n, const Operand* x) {
      loop(x[0], x[1], at(z, begin), n);
    });
  return needs_grad({a, b}) ? record_binary(which, z, a, b) : z;
}

Tensor apply(Binary which, const Tensor& a, const Tensor& b) {
  check_same(elementwise_ops_for_cpu().binary[static_cast<int>(which)].name, a, b);
  return apply_checked(which, a, b, a.device());
}

/// An op of a tensor and a number: the number on the right, or on the left if `reversed`.
Tensor apply_scalar(Binary which, const Tensor& x, double value, bool reversed = false) {
  const BinaryOp& op = elementwise_ops_for_cpu().binary[static_cast<int>(which)];
  loop_for(op.name, op.forward, x.dtype(), x.device());
  const Tensor scalar = scalar_for(op.name, value, x.dtype(), true);
  return reversed ? apply_checked(which, scalar, x, x.device())
                  : apply_checked(which, x, scalar, x.device());
}

/// b may be a number.
Tensor apply_comparison(const char* name, const Tensor& a, const Tensor& b, Comparison op) {
  const Shape shape = broadcast(name, a.shape(), b.shape());
  Tensor z = Tensor::empty(shape, DType::boolean, a.device());
  if (a.device() == Device::cuda) {
    cuda::call(name, on_gpu().compare, op, a.dtype(), broadcast_axes(shape, {&a, &b}), source_of(a),
               source_of(b), device_data(z));
    return z;
  }
  const BinaryLoop loop =
      elementwise_ops_for_cpu().compare[static_cast<int>(op)][index_of(a.dtype())];
  check<DtypeError>(loop != nullptr, name, "the CPU does not compute in ", a.dtype(),
                    "; to('float32') converts");
  BroadcastLoop(shape, {&a, &b}).run(1, [&](int64_t begin, int64_t n, const Operand* x) {
    loop(x[0], x[1], at(z, begin), n);
  });
  return z;
}

/// What one of two may be converted to, so that they go together: users train in float32.
DType meeting_point(DType a, DType b) {
  for (const DType wanted :
       {DType::float32, DType::float64, DType::bfloat16, DType::int64, DType::int32, DType::uint8})
    if (a == wanted || b == wanted) return wanted;
  return a;
}

}  // namespace

cuda::Source source_of(const Tensor& x) {
  if (x.device() == Device::cuda) return {device_data(x), 0};
  cuda::Source number{nullptr, 0};
  std::memcpy(&number.number, x.raw(), static_cast<size_t>(size_of(x.dtype())));
  return number;
}

void check_same(const char* op, const Tensor& a, const Tensor& b) {
  check<DeviceError>(a.device() == b.device(), op, "operands must be on one device, got ",
                     a.device(), " and ", b.device());
  check<DtypeError>(a.dtype() == b.dtype(), op, "operands must have one dtype, got ", a.dtype(),
                    " and ", b.dtype(), "; to('", meeting_point(a.dtype(), b.dtype()),
                    "') converts");
}

Tensor scalar_for(const char* op, double value, DType dtype, bool wraps) {
  if (carries_gradient(dtype)) return Tensor::scalar(value, dtype);
  const bool fits = dispatch(dtype, [&]<class T>() {
    const double low = static_cast<double>(std::numeric_limits<T>::lowest());
    const double end = std::ldexp(1.0, std::numeric_limits<T>::digits);
    return value == std::floor(value) && value < end && value >= (wraps ? -end : low);
  });
  check<DtypeError>(fits, op, "the scalar must be a number that ", dtype, " holds, got ", value);
  // Converting a negative number to an unsigned type is undefined; adding 2^8 is the same mod 2^8.
  return Tensor::scalar(dtype == DType::uint8 && value < 0 ? value + 256 : value, dtype);
}

Tensor add(const Tensor& a, const Tensor& b) {
  return apply(Binary::add, a, b);
}
Tensor sub(const Tensor& a, const Tensor& b) {
  return apply(Binary::sub, a, b);
}
Tensor mul(const Tensor& a, const Tensor& b) {
  return apply(Binary::mul, a, b);
}
Tensor div(const Tensor& a, const Tensor& b) {
  return apply(Binary::div, a, b);
}
Tensor maximum(const Tensor& a, const Tensor& b) {
  return apply(Binary::maximum, a, b);
}
Tensor minimum(const Tensor& a, const Tensor& b) {
  return apply(Binary::minimum, a, b);
}
Tensor add(const Tensor& a, double b) {
  return apply_scalar(Binary::add, a, b);
}
Tensor mul(const Tensor& a, double b) {
  return apply_scalar(Binary::mul, a, b);
}
Tensor div(const Tensor& a, double b) {
  return apply_scalar(Binary::div, a, b);
}
Tensor rsub(const Tensor& a, double b) {
  return apply_scalar(Binary::sub, a, b, true);
}
Tensor rdiv(const Tensor& a, double b) {
  return apply_scalar(Binary::div, a, b, true);
}

Tensor pow(const Tensor& x, double exponent) {
  if (exponent == 2) return apply(Unary::square, x);
  if (exponent == 3) return apply(Unary::cube, x);
  if (exponent == 0.5) return apply(Unary::sqrt, x);
  if (exponent == -1) return rdiv(x, 1);
  return apply_scalar(Binary::pow, x, exponent);
}

Tensor neg(const Tensor& x) {
  return apply(Unary::neg, x);
}
Tensor abs(const Tensor& x) {
  return apply(Unary::abs, x);
}
Tensor exp(const Tensor& x) {
  return apply(Unary::exp, x);
}
Tensor log(const Tensor& x) {
  return apply(Unary::log, x);
}
Tensor sqrt(const Tensor& x) {
  return apply(Unary::sqrt, x);
}
Tensor tanh(const Tensor& x) {
  return apply(Unary::tanh, x);
}
Tensor sigmoid(const Tensor& x) {
  return apply(Unary::sigmoid, x);
}
Tensor relu(const Tensor& x) {
  return apply(Unary::relu, x);
}
Tensor gelu(const Tensor& x) {
  return apply(Unary::gelu, x);
}
Tensor sign(const Tensor& x) {
  return apply(Unary::sign, x);
}
Tensor floor(const Tensor& x) {
  return apply(Unary::floor, x);
}
Tensor round(const Tensor& x) {
  return apply(Unary::round, x);
}

Tensor compare(const Tensor& a, const Tensor& b, Comparison op) {
  check_same("compare", a, b);
  return apply_comparison("compare", a, b, op);
}
Tensor compare(const Tensor& a, double b, Comparison op) {
  return apply_comparison("compare", a, scalar_for("compare", b, a.dtype()), op);
}
Tensor logical_not(const Tensor& x) {
  return apply_comparison("logical_not", x, scalar_for("logical_not", 0, x.dtype()),
                          Comparison::eq);
}

}  // namespace normlab
