#pragma once

#include <cstdint>
#include <string>

namespace normlab {

/// What the inputs of a product of float32 matrices are rounded to on the CPU: in matmul, linear,
/// conv2d, attention and the parser's feature_linear. Sums are float32, and so are parameters,
/// statistics, norms and optimizers. Products of float64 and products on the GPU do not change.
enum class MatmulPrecision : uint8_t { float32, bfloat16 };

/// The precision of this thread's products: that of its innermost MatmulPrecisionScope, else of
/// set_matmul_precision(), else float32. A derivative has its forward pass's precision.
MatmulPrecision matmul_precision();
/// For all threads, outside of scopes.
void set_matmul_precision(MatmulPrecision precision);

/// While it lives, this thread's products have the given precision.
class MatmulPrecisionScope {
 public:
  explicit MatmulPrecisionScope(MatmulPrecision precision);
  ~MatmulPrecisionScope();
  MatmulPrecisionScope(const MatmulPrecisionScope&) = delete;
  MatmulPrecisionScope& operator=(const MatmulPrecisionScope&) = delete;

 private:
  int before_;
};

/// "float32" or "bfloat16".
const char* name_of(MatmulPrecision precision);
/// The precision of that name; ArgumentError for any other.
MatmulPrecision matmul_precision_named(const std::string& name);

/// How this processor multiplies rounded inputs: "AMX", "AVX512-BF16", or "float32, after rounding"
/// where it has no instructions for bfloat16 that are faster than those for float32. The first two
/// take denormal numbers for 0.
const char* bfloat16_products();

}  // namespace normlab
