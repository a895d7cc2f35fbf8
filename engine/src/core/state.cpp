#include "core/state.h"

#include <type_traits>

#include "core/dispatch.h"
#include "core/json.h"
#include "core/tensor_impl.h"

namespace normlab {
namespace {

/// The names in `a` that `b` lacks, after `what`; empty if there are none.
std::string absent(const char* what, const TensorMap& a, const TensorMap& b) {
  std::string names;
  for (const auto& [name, tensor] : a)
    if (!b.contains(name)) names.append(names.empty() ? what : ", ").append(json_excerpt(name));
  return names;
}

/// Whether one of the elements [begin, begin + n) of a tensor on the CPU is an infinity or NaN.
bool any_nonfinite(const Tensor& x, int64_t begin, int64_t n) {
  return dispatch_stored(x.dtype(), [&]<class T>() {
    const T* p = x.data<T>() + begin;
    bool found = false;
    for (int64_t i = 0; i < n; ++i) {
      const auto value = static_cast<std::conditional_t<sizeof(T) == 8, double, float>>(p[i]);
      found |= value - value != 0;
    }
    return found;
  });
}

/// The first element that is an infinity or NaN, -1 if there is none.
int64_t first_nonfinite(const Tensor& x) {
  constexpr int64_t kBlock = 1024;
  for (int64_t begin = 0; begin < x.numel(); begin += kBlock) {
    const int64_t end = std::min(begin + kBlock, x.numel());
    if (!any_nonfinite(x, begin, end - begin)) continue;
    for (int64_t i = begin; i < end; ++i)
      if (any_nonfinite(x, i, 1)) return i;
  }
  return -1;
}

}  // namespace

void check_finite(const char* op, const std::string& name, const Tensor& x) {
  if (!carries_gradient(x.dtype())) return;
  const Tensor here = x.detach().to(Device::cpu);
  const int64_t at = first_nonfinite(here);
  if (at < 0) return;
  const double value = here.reshape({-1}).slice(at, at + 1).to(DType::float64).item();
  fail<ArgumentError>(op, json_excerpt(name), " must be finite, has ", value, " at ",
                      position(x.shape(), at));
}

void check_finite(const char* op, const TensorMap& state) {
  for (const auto& [name, tensor] : state) check_finite(op, name, tensor);
}

TensorMap copied(const TensorMap& state) {
  TensorMap copies;
  for (const auto& [name, tensor] : state) copies[name] = tensor.detach().clone();
  return copies;
}

void copy_state(const char* op, const TensorMap& own, const TensorMap& given,
                bool allow_nonfinite) {
  const std::string missing = absent("missing ", own, given);
  const std::string unexpected = absent("unexpected ", given, own);
  check<ArgumentError>(missing.empty() && unexpected.empty(), op,
                       "names must be those of state(): ", missing,
                       missing.empty() || unexpected.empty() ? "" : "; ", unexpected);
  for (const auto& [name, to] : own) {
    const Tensor& from = given.at(name);
    check<ArgumentError>(from.defined(), op, json_excerpt(name), " is undefined");
    check(from.shape() == to.shape(), op, json_excerpt(name), " must have shape ", to.shape(),
          ", got ", from.shape());
    check<DtypeError>(from.dtype() == to.dtype(), op, json_excerpt(name), " must be ", to.dtype(),
                      ", got ", from.dtype());
  }
  if (!allow_nonfinite) check_finite(op, given);
  for (const auto& [name, to] : own) Tensor(to).copy_(given.at(name));
}

}  // namespace normlab
