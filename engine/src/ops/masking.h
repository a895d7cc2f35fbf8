#pragma once

#include "cpu/isa.h"
#include "ops/broadcast.h"

namespace normlab {

/// z[i] = mask[i] ? a[i] : b[i], by size of an element.
struct SelectKernels {
  using Loop = void (*)(const LoopOperand& mask, const LoopOperand& a, const LoopOperand& b,
                        void* z, int64_t n);
  Loop one_byte, four_bytes, eight_bytes;
};
NORMLAB_KERNEL_TABLE(SelectKernels, select_kernels)

}  // namespace normlab
