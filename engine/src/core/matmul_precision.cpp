#include "normlab/matmul_precision.h"

#include <atomic>

#include "core/bfloat16_products.h"
#include "normlab/error.h"

namespace normlab {
namespace {

std::atomic<MatmulPrecision> of_the_process{MatmulPrecision::float32};

/// The innermost scope's precision as an int, or kNoScope.
constexpr int kNoScope = -1;
thread_local int of_the_scope = kNoScope;

}  // namespace

MatmulPrecision matmul_precision() {
  if (of_the_scope != kNoScope) return static_cast<MatmulPrecision>(of_the_scope);
  return of_the_process.load(std::memory_order_relaxed);
}

void set_matmul_precision(MatmulPrecision precision) {
  of_the_process = precision;
}

MatmulPrecisionScope::MatmulPrecisionScope(MatmulPrecision precision) : before_(of_the_scope) {
  of_the_scope = static_cast<int>(precision);
}
MatmulPrecisionScope::~MatmulPrecisionScope() {
  of_the_scope = before_;
}

const char* name_of(MatmulPrecision precision) {
  return precision == MatmulPrecision::bfloat16 ? "bfloat16" : "float32";
}

MatmulPrecision matmul_precision_named(const std::string& name) {
  for (const MatmulPrecision precision : {MatmulPrecision::float32, MatmulPrecision::bfloat16})
    if (name == name_of(precision)) return precision;
  fail<ArgumentError>("matmul_precision", "must be \"float32\" or \"bfloat16\", got \"", name, '"');
}

const char* bfloat16_products() {
  switch (bfloat16_unit()) {
    case Bfloat16Unit::amx:
      return "AMX";
    case Bfloat16Unit::avx512:
      return "AVX512-BF16";
    default:
      return "float32, after rounding";
  }
}

}  // namespace normlab
