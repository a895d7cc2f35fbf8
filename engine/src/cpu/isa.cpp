#include "cpu/isa.h"

#include <cstdlib>
#include <cstring>

namespace normlab {
namespace {

Isa detect_isa() {
  Isa best = Isa::baseline;
#if defined(__x86_64__) && defined(NORMLAB_MULTI_ISA)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) best = Isa::avx2;
  if (best == Isa::avx2 && __builtin_cpu_supports("avx512f") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd"))
    best = Isa::avx512;
#endif
  const char* wish = std::getenv("NORMLAB_ISA");
  if (wish && !std::strcmp(wish, "baseline")) return Isa::baseline;
  if (wish && !std::strcmp(wish, "avx2") && best == Isa::avx512) return Isa::avx2;
  return best;
}

}  // namespace

Isa isa() {
  static const Isa found = detect_isa();
  return found;
}

const char* name_of(Isa isa) {
  constexpr const char* kNames[] = {"baseline", "avx2", "avx512"};
  return kNames[static_cast<int>(isa)];
}

}  // namespace normlab
