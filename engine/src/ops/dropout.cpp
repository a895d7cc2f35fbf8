#include "ops/dropout.h"

#include <algorithm>
#include <cmath>

#include "core/dispatch.h"
#include "core/random.h"
#include "core/tensor_impl.h"
#include "cpu/parallel.h"
#include "cuda/graph.h"
#include "cuda/library.h"
#include "normlab/ops.h"
#include "ops/dropout_cuda.h"

namespace normlab {
namespace {

/// A stretch of the stream, from which backward draws again what forward did.
struct Mask {
  double p;
  Stream stream;
  Tensor replay;  ///< see cuda::replay_offset(); backward may outlive the graph

  uint32_t threshold() const {
    return static_cast<uint32_t>(std::min(std::round(p * 0x1p32), 0x1p32 - 1));
  }
  double scale() const { return 1 / (1 - p); }
};

Tensor drop_on_gpu(const Tensor& x, const Mask& mask) {
  const Tensor z = Tensor::empty(x.shape(), x.dtype(), Device::cuda);
  const cuda::DropoutArgs args{
      .dtype = x.dtype(),
      .x = device_data(x),
      .n = x.numel(),
      .seed = mask.stream.seed,
      .block = mask.stream.block,
      .replay = static_cast<const uint64_t*>(mask.replay ? device_data(mask.replay) : nullptr),
      .threshold = mask.threshold(),
      .scale = mask.scale(),
      .z = device_data(z)};
  cuda::call("dropout", cuda::backend().random->dropout, args);
  return z;
}

/// x with the elements dropped that the mask says.
Tensor drop(const Tensor& x, const Mask& mask) {
  if (x.device() == Device::cuda) return drop_on_gpu(x, mask);
  if (is_stored_only(x)) return drop(x.to(DType::float32), mask).to(DType::bfloat16);
  Tensor z = Tensor::empty(x.shape(), x.dtype());
  const Stream stream = mask.stream;
  const uint32_t threshold = mask.threshold();
  const double scale = mask.scale();
  const auto run = [&](auto loop, auto type) {
    using T = decltype(type);
    const T* from = x.data<T>();
    T* to = z.data<T>();
    parallel_blocks(x.numel(), kRandomBlock, 2, [&](int64_t begin, int64_t end) {
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
  check_carries_gradient("dropout", "x", x);
  check<ArgumentError>(p >= 0 && p < 1, "dropout", "p must be in [0, 1), got ", p);
  if (!training || p == 0) return x;
  const auto blocks = static_cast<uint64_t>((x.numel() + 3) / 4);
  const Tensor replay = x.device() == Device::cuda ? cuda::replay_offset(generator) : Tensor();
  const Mask mask{p, {generator.seed(), generator.advance(blocks)}, replay};
  return record("dropout", drop(x, mask), {x},
                [mask](const Tensor& dz, Needs) -> Grads { return {drop(dz, mask)}; });
}

}  // namespace normlab
