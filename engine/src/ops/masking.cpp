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
  BroadcastLoop(shape, {&mask, &a, &b}).run(1, [&](int64_t begin, int64_t n, const Operand* x) {
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
Tensor choose(const Tensor& mask, const Tensor& a, const Tensor& b) {
  const Shape shape = broadcast("where", mask.shape(), broadcast("where", a.shape(), b.shape()));
  const Tensor z = select("where", shape, mask, a, b);
  if (!needs_grad({a, b})) return z;
  return record(
      "where", z, {a, b},
      [kept = Saved(mask), sa = a.shape(), sb = b.shape()](const Tensor& dz, Needs needs) -> Grads {
        const Tensor zero = scalar_for("where", 0, dz.dtype());
        Grads grads(2);
        if (needs[0]) grads[0] = sum_to(select("where", dz.shape(), kept.get(), dz, zero), sa);
        if (needs[1]) grads[1] = sum_to(select("where", dz.shape(), kept.get(), zero, dz), sb);
        return grads;
      });
}

void check_covered(const Tensor& x, const Tensor& mask) {
  check_mask("masked_fill", mask, x);
  const Shape joint = broadcast("masked_fill", mask.shape(), x.shape());
  check(joint == x.shape(), "masked_fill", "mask must broadcast to x ", x.shape(), ", got ",
        mask.shape());
}

}  // namespace

Tensor where(const Tensor& mask, const Tensor& a, const Tensor& b) {
  check_same("where", a, b);
  check_mask("where", mask, a);
  return choose(mask, a, b);
}
Tensor where(const Tensor& mask, const Tensor& a, Scalar b) {
  check_mask("where", mask, a);
  return choose(mask, a, scalar_for("where", b, a.dtype()));
}
Tensor where(const Tensor& mask, Scalar a, const Tensor& b) {
  check_mask("where", mask, b);
  return choose(mask, scalar_for("where", a, b.dtype()), b);
}

Tensor masked_fill(const Tensor& x, const Tensor& mask, Scalar value) {
  check_covered(x, mask);
  const Tensor filling = scalar_for("masked_fill", value, x.dtype());
  const Tensor z = select("masked_fill", x.shape(), mask, filling, x);
  if (!needs_grad({x})) return z;
  return record("masked_fill", z, {x}, [kept = Saved(mask)](const Tensor& dz, Needs) -> Grads {
    const Tensor zero = scalar_for("masked_fill", 0, dz.dtype());
    return {select("masked_fill", dz.shape(), kept.get(), zero, dz)};
  });
}

Tensor masked_fill(const Tensor& x, const Tensor& mask, const Tensor& value) {
  check_covered(x, mask);
  check(value.numel() == 1, "masked_fill", "value must have one element, got shape ",
        value.shape());
  check_same("masked_fill", x, value);
  return choose(mask, value.reshape({}), x);
}

}  // namespace normlab
