#include "ops/elementwise.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <optional>

#include "core/dispatch.h"
#include "core/gpu.h"
#include "core/scalar.h"
#include "core/tensor_impl.h"
#include "cpu/parallel.h"
#include "cuda/library.h"
#include "ops/elementwise_cuda.h"

namespace normlab {
namespace {

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
  fail<DtypeError>(op, "needs float32, float64 or bfloat16, got ", dtype,
                   "; to('float32') converts");
}

void* at(const Tensor& x, int64_t i) {
  return static_cast<char*>(x.raw()) + i * size_of(x.dtype());
}

const cuda::ElementwiseFunctions& gpu_elementwise() {
  return *cuda::backend().elementwise;
}

/// An operand kept for backward of a binary op: its values only if a derivative reads them.
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
    cuda::call(op.name, gpu_elementwise().binary_backward, which, of_a, dz.dtype(),
               broadcast_axes(dz.shape(), {&dz, &va, &vb}), device_data(dz), source_of(va),
               source_of(vb), device_data(dx));
    return sum_to(dx, shape);
  }
  const BinaryGradLoop loop = (of_a ? op.da : op.db)[index_of(dz.dtype())];
  BroadcastLoop(dz.shape(), {&va, &vb})
      .run(op.cost, [&](int64_t begin, int64_t n, const LoopOperand* operands) {
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
    cuda::call(op.name, gpu_elementwise().binary, which, a.dtype(), broadcast_axes(shape, {&a, &b}),
               source_of(a), source_of(b), device_data(z));
  else
    BroadcastLoop(shape, {&a, &b})
        .run(op.cost, [&](int64_t begin, int64_t n, const LoopOperand* x) {
          loop(x[0], x[1], at(z, begin), n);
        });
  if (!needs_grad({a, b})) return z;
  if (op.da_reads == Reads::no_derivative) return record_no_derivative(op.name, z, {a, b});
  return record_binary(which, z, a, b);
}

/// Sums and products take numbers that are the same modulo what the dtype counts.
bool wraps(Binary which) {
  return which == Binary::add || which == Binary::sub || which == Binary::mul;
}

/// The number as the other operand of x; bool is refused first.
Tensor operand_for(Binary which, const Scalar& number, const Tensor& x) {
  const BinaryOp& op = elementwise_ops_for_cpu().binary[static_cast<int>(which)];
  loop_for(op.name, op.forward, x.dtype(), x.device());
  return scalar_for(op.name, number, x.dtype(), wraps(which));
}

/// What the CPU only stores as what it computes in.
Operand computable(const Operand& x) {
  const auto* t = std::get_if<Tensor>(&x);
  return t && is_stored_only(*t) ? t->to(DType::float32) : x;
}

Tensor apply(Binary which, const Operand& a, const Operand& b) {
  const auto *x = std::get_if<Tensor>(&a), *y = std::get_if<Tensor>(&b);
  if (x && y) check_same(elementwise_ops_for_cpu().binary[static_cast<int>(which)].name, *x, *y);
  if ((x && is_stored_only(*x)) || (y && is_stored_only(*y)))
    return apply(which, computable(a), computable(b)).to(DType::bfloat16);
  if (!x && !y) return apply(which, Tensor::scalar(std::get<Scalar>(a)), b);
  if (!y) return apply_checked(which, *x, operand_for(which, std::get<Scalar>(b), *x), x->device());
  if (!x) return apply_checked(which, operand_for(which, std::get<Scalar>(a), *y), *y, y->device());
  return apply_checked(which, *x, *y, x->device());
}

bool is_integer(const Tensor& x) {
  return !carries_gradient(x.dtype()) && x.dtype() != DType::boolean;
}

/// ArgumentError for an integer among b that the op cannot take; what is on the GPU is not read.
template <class Refused>
void check_integers(const char* op, const char* must, const Tensor& b, const Refused& refused) {
  if (!is_integer(b) || b.device() == Device::cuda) return;
  dispatch(b.dtype(), [&]<class T>() {
    const T* values = b.data<T>();
    for (int64_t i = 0, n = b.numel(); i < n; ++i)
      if (refused(static_cast<double>(values[i]))) [[unlikely]]
        fail<ArgumentError>(op, must, ", got ", static_cast<int64_t>(values[i]), " at ",
                            position(b.shape(), i));
  });
}

/// Checks the second operand of an op on integers.
template <class Refused>
void check_second(const char* op, const char* must, const Operand& a, const Operand& b,
                  const Refused& refused) {
  const auto *x = std::get_if<Tensor>(&a), *y = std::get_if<Tensor>(&b);
  if (x && y) check_same(op, *x, *y);
  if (y) return check_integers(op, must, *y, refused);
  const Scalar& number = std::get<Scalar>(b);
  check<ArgumentError>(!x || !is_integer(*x) || !refused(number.real()), op, must, ", got ",
                       number);
}

void check_divisor(const char* op, const Operand& a, const Operand& b) {
  check_second(op, "an integer's divisor must not be 0", a, b, [](double v) { return v == 0; });
}

/// Integers as floats, for division.
Operand as_floating(const Operand& x) {
  const auto* t = std::get_if<Tensor>(&x);
  return t && is_integer(*t) ? t->to(DType::float32) : x;
}

/// b may be a number.
Tensor apply_comparison(const char* name, const Tensor& a, const Tensor& b, Comparison op) {
  if (is_stored_only(a))
    return apply_comparison(name, a.to(DType::float32), b.to(DType::float32), op);
  const Shape shape = broadcast(name, a.shape(), b.shape());
  Tensor z = Tensor::empty(shape, DType::boolean, a.device());
  if (a.device() == Device::cuda) {
    cuda::call(name, gpu_elementwise().compare, op, a.dtype(), broadcast_axes(shape, {&a, &b}),
               source_of(a), source_of(b), device_data(z));
    return z;
  }
  const BinaryLoop loop =
      elementwise_ops_for_cpu().compare[static_cast<int>(op)][index_of(a.dtype())];
  BroadcastLoop(shape, {&a, &b}).run(1, [&](int64_t begin, int64_t n, const LoopOperand* x) {
    loop(x[0], x[1], at(z, begin), n);
  });
  return z;
}

/// A comparison of integers with any number: one result for all elements, or a comparison with a
/// whole number.
struct WholeComparison {
  std::optional<bool> all;
  Comparison op;
  int64_t number = 0;
};

/// Of integers from `least` to `greatest` beside any number: exact where the number has a fraction
/// or lies outside.
WholeComparison whole_comparison(Comparison op, const Scalar& b, int64_t least, int64_t greatest) {
  const bool finds_less = op == Comparison::lt || op == Comparison::le || op == Comparison::ne;
  const bool finds_greater = op == Comparison::gt || op == Comparison::ge || op == Comparison::ne;
  int64_t whole = b.integer();
  if (!b.is_integer()) {
    const double below = std::floor(b.real());
    if (std::isnan(below)) return {op == Comparison::ne, op};
    if (below >= 0x1p63) return {finds_less, op};
    if (below < -0x1p63) return {finds_greater, op};
    whole = static_cast<int64_t>(below);
    if (below != b.real()) {
      if (op == Comparison::eq || op == Comparison::ne) return {op == Comparison::ne, op};
      if (op == Comparison::lt) op = Comparison::le;
      if (op == Comparison::ge) op = Comparison::gt;
    }
  }
  if (whole > greatest) return {finds_less, op};
  if (whole < least) return {finds_greater, op};
  return {std::nullopt, op, whole};
}

/// Dtype to suggest for two operands that differ: users train in float32.
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

Operand beside(const Tensor& x, const Operand& b) {
  const auto* t = std::get_if<Tensor>(&b);
  if (!t || t->numel() != 1 || needs_grad({*t})) return b;
  if (t->dtype() == x.dtype() && t->device() == x.device()) return b;
  return carries_gradient(t->dtype()) ? Scalar(t->item()) : Scalar(t->item<int64_t>());
}

Tensor scalar_for(const char* op, const Scalar& number, DType dtype, bool wraps) {
  const Tensor z = Tensor::empty({}, dtype);
  dispatch_stored(dtype, [&]<class T>() {
    const bool ok =
        holds<T>(number) || (wraps && std::is_same_v<T, uint8_t> && holds<uint8_t>(-number.real()));
    check<DtypeError>(ok, op, "the scalar must be a number that ", dtype, " holds, got ", number,
                      number.is_integer() ? "" : "; to('float32') converts");
    *static_cast<T*>(z.raw()) = element_of<T>(number);
  });
  return z;
}

Tensor apply(Unary which, const Tensor& x) {
  if (is_stored_only(x)) return apply(which, x.to(DType::float32)).to(DType::bfloat16);
  const UnaryOp& op = elementwise_ops_for_cpu().unary[static_cast<int>(which)];
  const UnaryLoop loop = loop_for(op.name, op.forward, x.dtype(), x.device());
  Tensor z = Tensor::empty(x.shape(), x.dtype(), x.device());
  if (x.device() == Device::cuda)
    cuda::call(op.name, gpu_elementwise().unary, which, x.dtype(), device_data(x), device_data(z),
               x.numel());
  else
    parallel_blocks(x.numel(), kElementsAtOnce, op.cost, [&](int64_t begin, int64_t end) {
      loop(at(x, begin), at(z, begin), end - begin);
    });
  if (!needs_grad({x})) return z;
  if (op.reads == Reads::no_derivative) return record_no_derivative(op.name, z, {x});
  const Saved kept = op.reads == Reads::x ? Saved(x) : op.reads == Reads::z ? Saved(z) : Saved();
  return record(op.name, z, {x}, [&op, which, kept](const Tensor& dz, Needs) -> Grads {
    return {unary_gradient(op.name, which, dz, op.reads == Reads::nothing ? Tensor() : kept.get())};
  });
}

std::vector<UnaryInfo> unary_ops() {
  std::vector<UnaryInfo> all;
  for (int i = 0; i < kUnaryOps; ++i) {
    const UnaryOp& op = elementwise_ops_for_cpu().unary[i];
    if (op.summary) all.push_back({static_cast<Unary>(i), op.name, op.summary});
  }
  return all;
}

Tensor add(const Operand& a, const Operand& b) {
  return apply(Binary::add, a, b);
}
Tensor sub(const Operand& a, const Operand& b) {
  return apply(Binary::sub, a, b);
}
Tensor mul(const Operand& a, const Operand& b) {
  return apply(Binary::mul, a, b);
}
Tensor maximum(const Operand& a, const Operand& b) {
  return apply(Binary::maximum, a, b);
}
Tensor minimum(const Operand& a, const Operand& b) {
  return apply(Binary::minimum, a, b);
}

Tensor div(const Operand& a, const Operand& b) {
  const auto *x = std::get_if<Tensor>(&a), *y = std::get_if<Tensor>(&b);
  if (x && y) check_same("div", *x, *y);
  return apply(Binary::div, as_floating(a), as_floating(b));
}

Tensor pow(const Operand& a, const Operand& b) {
  const auto* x = std::get_if<Tensor>(&a);
  const Operand exponent = x ? beside(*x, b) : b;
  const auto* number = std::get_if<Scalar>(&exponent);
  if (x && number && carries_gradient(x->dtype())) {
    if (number->real() == 2) return apply(Unary::square, *x);
    if (number->real() == 3) return apply(Unary::cube, *x);
    if (number->real() == 0.5) return apply(Unary::sqrt, *x);
    if (number->real() == -1) return div(1, *x);
  }
  check_second("pow", "an integer's exponent must not be negative (to('float32') converts)", a,
               exponent, [](double v) { return v < 0; });
  return apply(Binary::pow, a, exponent);
}

Tensor floor_divide(const Operand& a, const Operand& b) {
  check_divisor("floor_divide", a, b);
  return apply(Binary::floor_divide, a, b);
}
Tensor remainder(const Operand& a, const Operand& b) {
  check_divisor("remainder", a, b);
  return apply(Binary::remainder, a, b);
}
Tensor leaky_relu(const Operand& x, const Operand& negative_slope) {
  return apply(Binary::leaky_relu, x, negative_slope);
}
Tensor clamp(const Tensor& x, const std::optional<Operand>& min,
             const std::optional<Operand>& max) {
  check<ArgumentError>(min || max, "clamp", "needs min, max or both");
  const Tensor above = min ? maximum(x, *min) : x;
  return max ? minimum(above, *max) : above;
}

Tensor compare(const Tensor& a, const Operand& other, Comparison op) {
  if (const auto* t = std::get_if<Tensor>(&other)) {
    check_same("compare", a, *t);
    return apply_comparison("compare", a, *t, op);
  }
  const Scalar& b = std::get<Scalar>(other);
  if (carries_gradient(a.dtype()))
    return apply_comparison("compare", a, scalar_for("compare", b, a.dtype()), op);
  const WholeComparison whole = dispatch(a.dtype(), [&]<class T>() {
    using Limits = std::numeric_limits<T>;
    return whole_comparison(op, b, static_cast<int64_t>(Limits::lowest()),
                            static_cast<int64_t>(Limits::max()));
  });
  if (whole.all) return Tensor::full(a.shape(), *whole.all, DType::boolean, a.device());
  return apply_comparison("compare", a, scalar_for("compare", whole.number, a.dtype()), whole.op);
}
Tensor logical_not(const Tensor& x) {
  return apply_comparison("logical_not", x, scalar_for("logical_not", 0, x.dtype()),
                          Comparison::eq);
}

Tensor unary_gradient(const char* name, Unary which, const Tensor& dz, const Tensor& kept) {
  if (is_stored_only(dz)) {
    const Tensor wide = kept ? kept.to(DType::float32) : kept;
    return unary_gradient(name, which, dz.to(DType::float32), wide).to(DType::bfloat16);
  }
  const UnaryOp& op = elementwise_ops_for_cpu().unary[static_cast<int>(which)];
  Tensor dx = Tensor::empty(dz.shape(), dz.dtype(), dz.device());
  if (dz.device() == Device::cuda) {
    cuda::call(name, gpu_elementwise().unary_backward, which, dz.dtype(), device_data(dz),
               kept ? device_data(kept) : nullptr, device_data(dx), dz.numel());
    return dx;
  }
  const UnaryGradLoop loop = op.backward[index_of(dz.dtype())];
  parallel_blocks(dz.numel(), kElementsAtOnce, op.cost, [&](int64_t begin, int64_t end) {
    const void* value = kept ? at(kept, begin) : nullptr;
    loop(at(dz, begin), value, value, at(dx, begin), end - begin);
  });
  return dx;
}

void cuda::add_in_place(const Tensor& into, const Tensor& from) {
  call("backward", backend().elementwise->add_in_place, into.dtype(), device_data(into),
       device_data(from), from.numel());
}

}  // namespace normlab
