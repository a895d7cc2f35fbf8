#include "core/state.h"

#include "core/json.h"

namespace normlab {
namespace {

/// The names in `a` that `b` lacks, after `what`; empty if there are none.
std::string absent(const char* what, const TensorMap& a, const TensorMap& b) {
  std::string names;
  for (const auto& [name, tensor] : a)
    if (!b.contains(name)) names.append(names.empty() ? what : ", ").append(json_excerpt(name));
  return names;
}

}  // namespace

void copy_state(const char* op, const TensorMap& own, const TensorMap& given) {
  const std::string missing = absent("missing ", own, given);
  const std::string unexpected = absent("unexpected ", given, own);
  check<ValueError>(missing.empty() && unexpected.empty(), op,
                    "names must be those of state(): ", missing,
                    missing.empty() || unexpected.empty() ? "" : "; ", unexpected);
  for (const auto& [name, to] : own) {
    const Tensor& from = given.at(name);
    check<ValueError>(from.defined(), op, json_excerpt(name), " is undefined");
    check(from.shape() == to.shape(), op, json_excerpt(name), " must have shape ", to.shape(),
          ", got ", from.shape());
    check<DtypeError>(from.dtype() == to.dtype(), op, json_excerpt(name), " must be ", to.dtype(),
                      ", got ", from.dtype());
  }
  for (const auto& [name, to] : own) Tensor(to).copy_(given.at(name));
}

}  // namespace normlab
