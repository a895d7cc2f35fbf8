#pragma once

#include <cstdint>

namespace normlab {

/// What multiplies bfloat16 faster than float32.
enum class Bfloat16Unit : uint8_t { none, avx512, amx };

/// True if oneDNN has products of bfloat16 for this processor.
bool has_bfloat16_products();

/// AMX where there is one. AVX512-BF16 on AMD alone: Intel's cores take half the rate of their
/// float32 for it. The environment variable NORMLAB_BFLOAT16 chooses among what the processor has:
/// "float32" none, "native" AVX512-BF16 on Intel, too.
Bfloat16Unit bfloat16_unit();

}  // namespace normlab
