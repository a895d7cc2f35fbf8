#include "core/bfloat16_products.h"

#include <cstdlib>
#include <dnnl.hpp>
#include <string_view>

namespace normlab {
namespace {

/// oneDNN's names for sets of instructions are masks: a greater set has the bits of the lesser.
bool has(dnnl::cpu_isa wanted) {
  const auto bits = static_cast<unsigned>(wanted);
  return (static_cast<unsigned>(dnnl::get_effective_cpu_isa()) & bits) == bits;
}

bool is_amd() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return __builtin_cpu_is("amd");
#else
  return false;
#endif
}

Bfloat16Unit detect_unit() {
  const char* variable = std::getenv("NORMLAB_BFLOAT16");
  const std::string_view wish = variable ? variable : "";
  if (wish == "float32") return Bfloat16Unit::none;
  if (has(dnnl::cpu_isa::avx512_core_amx)) return Bfloat16Unit::amx;
  const bool faster = is_amd() || wish == "native";
  return faster && has_bfloat16_products() ? Bfloat16Unit::avx512 : Bfloat16Unit::none;
}

}  // namespace

bool has_bfloat16_products() {
  return has(dnnl::cpu_isa::avx512_core_bf16);
}

Bfloat16Unit bfloat16_unit() {
  static const Bfloat16Unit found = detect_unit();
  return found;
}

}  // namespace normlab
