#include "ops/indexing.h"

namespace normlab::NORMLAB_ISA {
namespace {

template <class T>
void sum_rows(const T* x, const int64_t* order, int64_t count, int64_t width, T* z) {
  if (count == 1) {
    const T* row = x + order[0] * width;
    for (int64_t c = 0; c < width; ++c) z[c] = row[c];
    return;
  }
  constexpr int64_t kBlock = 256;
  double sum[kBlock];
  for (int64_t begin = 0; begin < width; begin += kBlock) {
    const int64_t n = width - begin < kBlock ? width - begin : kBlock;
    const T* first = x + order[0] * width + begin;
    for (int64_t c = 0; c < n; ++c) sum[c] = first[c];
    for (int64_t k = 1; k < count; ++k) {
      const T* row = x + order[k] * width + begin;
      for (int64_t c = 0; c < n; ++c) sum[c] += row[c];
    }
    for (int64_t c = 0; c < n; ++c) z[begin + c] = static_cast<T>(sum[c]);
  }
}

}  // namespace

extern const IndexingKernels indexing_kernels = {sum_rows<float>, sum_rows<double>};

}  // namespace normlab::NORMLAB_ISA
