#include "ops/masking.h"

#include "core/tensor_impl.h"
#include "cuda/library.h"
#include "ops/elementwise.h"
#include "ops/elementwise_cuda.h"

namespace normlab {
namespace {

/// mask ? a : b, all of which broadcast to `shape`; a or b may be a number of scalar_for().
Tensor select(const char* op, const Shape& shape, const Tensor& mask, const Tensor& a,
              const Tensor& b) {
  Tensor z = Tensor::empty(shape, a.dtype(), mask.device());
  const int64_t item = size_of(a.dtype());
  if (mask.device() == Device::cuda) {
    cuda::call(op, cuda::backend().elementwise->select, item,
               broadcast_axes(shape, {&mask, &a, &b}), source_of(mask), source_of(a), source_of(b),
               device_data(z));
    return z;
  }
  const SelectKernels& kernels = select_kernels_for_cpu();
  const auto loop = item == 8   ? kernels.eight_bytes
                    : item == 4 ? kernels.four_bytes
                                : kernels.one_byte;
  char* out = static_cast<char*>(z.raw());
  BroadcastLoop(shape, {&mask, &a, &b}).run(1, [&](int64_t begin, int64_t n, const LoopOperand* x) {
    loop(x[0], x[1], x[2], out + begin * item, n);
  });
  return z;
}

void check_mask(const char* op, const Tensor& mask, const Tensor& x) {
  check<DtypeError>(mask.dtype() == DType::boolean, op, "mask must be bool, got ", mask.dtype());
  check<DeviceError>(mask.device() == x.device(), op, "mask must be on ", x.device(), ", got ",
                     mask.device());
}

/// Of what has passed the checks; a or b may be a number of scalar_for().
Tensor choose(const char* op, const Tensor& mask, const Tensor& a, const Tensor& b) {
  const Shape shape = broadcast(op, mask.shape(), broadcast(op, a.shape(), b.shape()));
  const Tensor z = select(op, shape, mask, a, b);
  if (!needs_grad({a, b})) return z;
  return record(op, z, {a, b},
                [op, kept = Saved(mask), sa = a.shape(), sb = b.shape()](const Tensor& dz,
                                                                         Needs needs) -> Grads {
                  const Tensor zero = scalar_for(op, 0, dz.dtype());
                  Grads grads(2);
                  if (needs[0]) grads[0] = sum_to(select(op, dz.shape(), kept.get(), dz, zero), sa);
                  if (needs[1]) grads[1] = sum_to(select(op, dz.shape(), kept.get(), zero, dz), sb);
                  return grads;
                });
}

void check_covered(const Tensor& x, const Tensor& mask) {
  check_mask("masked_fill", mask, x);
  const Shape joint = broadcast("masked_fill", mask.shape(), x.shape());
  check(joint == x.shape(), "masked_fill", "mask must broadcast to x ", x.shape(), ", got ",
        mask.shape());
}

/// The operand as a tensor beside x.
Tensor tensor_beside(const char* op, const Tensor& x, const Operand& operand) {
  const auto* number = std::get_if<Scalar>(&operand);
  return number ? scalar_for(op, *number, x.dtype()) : std::get<Tensor>(operand);
}

/// Both are masks; numbers are not taken for bits.
void check_masks(const char* op, const Tensor& a, const Tensor& b) {
  for (const Tensor& x : {a, b})
    check<DtypeError>(x.dtype() == DType::boolean, op, "needs bool tensors, got ", x.dtype(),
                      "; comparisons make them, each in brackets: (x > 0) & (y > 1)");
}

/// The second operand of an op on masks, as a mask.
Tensor second_mask(const char* op, const Tensor& a, const Operand& b) {
  const auto* number = std::get_if<Scalar>(&b);
  check_masks(op, a, number ? a : std::get<Tensor>(b));
  if (!number) return std::get<Tensor>(b);
  check<DtypeError>(number->real() == 0 || number->real() == 1, op,
                    "needs bool tensors, True or False, got ", *number);
  return Tensor::full({}, *number, DType::boolean, a.device());
}

}  // namespace

Tensor operator&(const Tensor& a, const Operand& b) {
  return where(a, second_mask("&", a, b), Tensor::zeros({}, DType::boolean, a.device()));
}
Tensor operator|(const Tensor& a, const Operand& b) {
  const Tensor other = second_mask("|", a, b);
  return where(a, Tensor::ones({}, DType::boolean, a.device()), other);
}
Tensor operator^(const Tensor& a, const Operand& b) {
  return compare(a, second_mask("^", a, b), Comparison::ne);
}
Tensor operator~(const Tensor& x) {
  check_masks("~", x, x);
  return logical_not(x);
}

Tensor where(const Tensor& mask, const Operand& a, const Operand& b) {
  const auto *x = std::get_if<Tensor>(&a), *y = std::get_if<Tensor>(&b);
  if (!x && !y)
    return where(mask, Tensor::full({}, std::get<Scalar>(a), DType::float32, mask.device()), b);
  if (x && y) check_same("where", *x, *y);
  const Tensor& given = x ? *x : *y;
  check_mask("where", mask, given);
  return choose("where", mask, tensor_beside("where", given, a), tensor_beside("where", given, b));
}

Tensor masked_fill(const Tensor& x, const Tensor& mask, const Operand& value) {
  const Operand filling = beside(x, value);
  check_covered(x, mask);
  if (const auto* t = std::get_if<Tensor>(&filling)) {
    check(t->numel() == 1, "masked_fill", "value must have one element, got shape ", t->shape());
    check_same("masked_fill", x, *t);
    return choose("masked_fill", mask, t->reshape({}), x);
  }
  return choose("masked_fill", mask, tensor_beside("masked_fill", x, filling), x);
}

}  // namespace normlab
