#include "cpu/simd_rows.h"
#include "ops/segments.h"

namespace normlab::NORMLAB_ISA {
namespace {

/// Runs of kRun rows are added first, so that the error does not grow with the number of rows.
void sum(const float* x, int64_t rows, int64_t size, float factor, float* z) {
  constexpr int64_t kRun = 64;
  each_vector(0, size, [&](int64_t j, int64_t count) {
    vfloat total{};
    for (int64_t begin = 0; begin < rows; begin += kRun) {
      vfloat run{};
      const int64_t end = begin + kRun < rows ? begin + kRun : rows;
      for (int64_t i = begin; i < end; ++i) run += load(x + i * size + j, count);
      total += run;
    }
    store(z + j, total * factor, count);
  });
}

}  // namespace

extern const SegmentKernels segment_kernels = {sum};

}  // namespace normlab::NORMLAB_ISA
