#include <cmath>
#include <limits>

#include "core/dispatch.h"
#include "normlab/ops.h"

namespace normlab {
namespace {

/// y = x / scale / length, two steps so that neither their product nor a square overflows.
struct Length {
  Tensor above;   ///< bool: the norm is greater than eps
  Tensor scale;   ///< the greatest magnitude, or eps in place of the norm
  Tensor length;  ///< the norm of x / scale, or 1
};

Length length_of(const Tensor& x, int axis, double eps) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  const Tensor greatest = max(abs(x), axis, true);
  const Tensor some = where(compare(greatest, 0, Comparison::gt), greatest, 1);
  const Tensor scale = where(compare(some, kInf, Comparison::lt), some, 1);
  const Tensor part = x / scale, length = sqrt(sum(part * part, {axis}, true));
  const Tensor above = logical_not(compare(length * scale, eps, Comparison::le));  // NaN too
  // An eps that is 0 in x's dtype divides nothing: only zeros are left to it.
  const bool zero = eps == 0 || (x.dtype() == DType::float32 && static_cast<float>(eps) == 0);
  return {above, where(above, scale, zero ? 1 : eps), where(above, length, 1)};
}

}  // namespace

Tensor l2_normalize(const Tensor& x, int axis, double eps) {
  check_carries_gradient("l2_normalize", "x", x);
  check<ArgumentError>(eps >= 0 && std::isfinite(eps), "l2_normalize",
                       "eps must be finite and not negative, got ", eps);
  if (x.rank() > 0 || (axis != 0 && axis != -1)) axis = x.shape().wrap(axis, "l2_normalize");
  if (x.dtype() == DType::bfloat16)
    return l2_normalize(x.to(DType::float32), axis, eps).to(DType::bfloat16);
  if (x.numel() == 0) return x.clone();
  Tensor y;
  Length n;
  {
    const NoGrad no_grad;
    n = length_of(x, axis, eps);
    y = x / n.scale / n.length;
  }
  return record("l2_normalize", y, {x},
                [axis, n, kept = Saved(y)](const Tensor& dz, Needs) -> Grads {
                  const Tensor y = kept.get(), along = y * sum(dz * y, {axis}, true);
                  return {(dz - where(n.above, along, 0)) / n.scale / n.length};
                });
}

}  // namespace normlab
