#include "ops/dropout.h"

#include <algorithm>
#include <cmath>

#include "backend/parallel.h"
#include "normlab/ops.h"

namespace normlab {
namespace {

constexpr int64_t kBlock = 4096;  ///< a multiple of every batch of words

/// x with the elements dropped that this stretch of the stream says: backward draws it again.
Tensor drop(const Tensor& x, double p, Stream stream) {
  Tensor z = Tensor::empty(x.shape(), x.dtype(), x.device());
  const auto threshold = static_cast<uint32_t>(std::min(std::round(p * 0x1p32), 0x1p32 - 1));
  const double scale = 1 / (1 - p);
  const auto run = [&](auto loop, auto type) {
    using T = decltype(type);
    const T* from = x.data<T>();
    T* to = z.data<T>();
    parallel_blocks(x.numel(), kBlock, 2, [&](int64_t begin, int64_t end) {
      loop(stream.from(begin, 4), threshold, static_cast<T>(scale), from + begin, to + begin,
           end - begin);
    });
  };
  const DropoutKernels& kernels = dropout_kernels_for_cpu();
  if (x.dtype() == DType::float32)
    run(kernels.float32, float{});
  else
    run(kernels.float64, double{});
  return z;
}

}  // namespace

Tensor dropout(const Tensor& x, double p, bool training, Generator& generator) {
  check<DtypeError>(is_floating(x.dtype()), "dropout", "needs float32 or float64, got ", x.dtype());
  check<ValueError>(p >= 0 && p < 1, "dropout", "p must be in [0, 1), got ", p);
  if (!training || p == 0) return x;
  const auto blocks = static_cast<uint64_t>((x.numel() + 3) / 4);
  const Stream stream{generator.seed(), generator.advance(blocks)};
  return record("dropout", drop(x, p, stream), {x},
                [p, stream](const Tensor& dz, Needs) -> Grads { return {drop(dz, p, stream)}; });
}

}  // namespace normlab
