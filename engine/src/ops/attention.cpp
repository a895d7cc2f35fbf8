#include "ops/attention.h"

#include <algorithm>
#include <cmath>

#include "core/bfloat16.h"
#include "core/dispatch.h"
#include "core/tensor_impl.h"
#include "cpu/parallel.h"
#include "cuda/library.h"
#include "normlab/ops.h"
#include "ops/attention_cuda.h"
#include "ops/segments.h"

namespace normlab {
namespace {

struct PackedAttention {
  const Tensor &qkv, &offsets, &z, &log_sum;
  int64_t heads;
  Tensor dz = {}, dqkv = {};
  bool bfloat16_products = false;
};

/// Head `job % heads` of sentence `job / heads`.
template <class T>
AttentionHead<T> head_of(const PackedAttention& c, int64_t job) {
  const int64_t *offset = c.offsets.data<int64_t>() + job / c.heads, head = job % c.heads;
  AttentionHead<T> h;
  h.length = offset[1] - offset[0];
  h.size = c.z.size(1);
  h.depth = h.size / c.heads;
  h.scale = static_cast<T>(1 / std::sqrt(static_cast<double>(h.depth)));
  const int64_t at = offset[0] * h.size + head * h.depth;
  const int64_t at3 = 3 * offset[0] * h.size + head * h.depth;
  h.qkv = c.qkv.data<T>() + at3;
  h.z = static_cast<T*>(c.z.raw()) + at;
  h.log_sum = static_cast<T*>(c.log_sum.raw()) + head * c.z.size(0) + offset[0];
  if (c.dz) h.dz = c.dz.data<T>() + at;
  if (c.dqkv) h.dqkv = static_cast<T*>(c.dqkv.raw()) + at3;
  h.bfloat16_products = c.bfloat16_products;
  return h;
}

int64_t scratch_size(const AttentionHead<float>& h) {
  return attention_scratch(h.length, h.depth);
}
int64_t scratch_size(const AttentionHead<double>& h) {
  return h.length;
}
void run_head(const AttentionHead<float>& h, float* scratch) {
  const AttentionKernels& kernels = attention_kernels_for_cpu();
  (h.dqkv ? kernels.backward : kernels.forward)(h, scratch);
}
void run_head(const AttentionHead<double>& h, double* scratch) {
  h.dqkv ? reference::attention_backward(h) : reference::attention(h, scratch);
}

/// All heads of all sentences, each by one thread. Sentences of a part share its scratch, which is
/// there before the threads start: nothing in them can fail.
template <class T>
void run(const PackedAttention& c) {
  const int64_t sentences = c.offsets.numel() - 1, jobs = sentences * c.heads;
  if (c.z.numel() == 0) return;
  int64_t floats = 0;
  for (int64_t s = 0; s < sentences; ++s)
    floats = std::max(floats, (scratch_size(head_of<T>(c, s * c.heads)) + 15) / 16 * 16);
  const int64_t parts = std::min<int64_t>(jobs, num_threads());
  Tensor scratch = Tensor::empty({parts, floats}, dtype_of<T>);
  const int64_t length = c.z.size(0) / sentences + 1;
  const int64_t cost = length * length * c.z.size(1) / c.heads / 4 * (jobs / parts + 1);
  T* first = scratch.data<T>();
  parallel_for(parts, cost, [&, parts](int64_t part) {
    for (int64_t job = jobs * part / parts; job < jobs * (part + 1) / parts; ++job)
      if (const AttentionHead<T> h = head_of<T>(c, job); h.length > 0)
        run_head(h, first + part * floats);
  });
}

/// Of operands that are bfloat16 or rounded to it: all between the products is float32.
void run_rounded(const PackedAttention& c) {
  const bool stored = c.qkv.dtype() == DType::bfloat16, backward = c.dqkv.defined();
  const Tensor qkv = rounded_to_bfloat16(c.qkv);
  const Tensor dz = backward ? rounded_to_bfloat16(c.dz) : Tensor();
  if (!stored) return run<float>({qkv, c.offsets, c.z, c.log_sum, c.heads, dz, c.dqkv, true});
  const Tensor z = backward ? rounded_to_bfloat16(c.z) : Tensor::empty(c.z.shape());
  const Tensor dqkv = backward ? Tensor::empty(c.dqkv.shape()) : Tensor();
  run<float>({qkv, c.offsets, z, c.log_sum, c.heads, dz, dqkv, true});
  const Tensor &from = backward ? dqkv : z, &to = backward ? c.dqkv : c.z;
  convert_values(from.data<float>(), static_cast<bfloat16*>(to.raw()), to.numel());
}

// --- on the GPU -------------------------------------------------------------------------------

void check_depth(int64_t depth) {
  constexpr int64_t kMost = cuda::AttentionFunctions::kMostDepth;
  check<DeviceError>(depth <= kMost, "attention", "heads on cuda have at most ", kMost,
                     " elements, got ", depth);
}

cuda::AttentionArgs gpu_args(const PackedAttention& c) {
  cuda::AttentionArgs args{};
  args.dtype = c.qkv.dtype();
  args.offsets = static_cast<const int64_t*>(device_data(c.offsets));
  args.rows = c.qkv.size(0);
  args.sentences = c.offsets.numel() - 1;
  args.heads = c.heads;
  args.depth = c.z.size(1) / c.heads;
  args.scale = 1 / std::sqrt(static_cast<double>(args.depth));
  args.qkv = device_data(c.qkv);
  args.z = device_data(c.z);
  args.log_sum = device_data(c.log_sum);
  args.check = cuda::value_check("attention", c.offsets.shape(), args.rows);
  return args;
}

void run_on_gpu(const PackedAttention& c) {
  cuda::AttentionArgs args = gpu_args(c);
  const cuda::AttentionFunctions& gpu = *cuda::backend().attention;
  if (!c.dqkv) return cuda::call("attention", gpu.forward, args);
  const Tensor delta = Tensor::empty(c.log_sum.shape(), c.log_sum.dtype(), Device::cuda);
  args.dz = device_data(c.dz);
  args.delta = device_data(delta);
  args.dqkv = device_data(c.dqkv);
  cuda::call("attention", gpu.backward, args);
}

void run_anywhere(const PackedAttention& c) {
  if (c.qkv.device() == Device::cuda) return run_on_gpu(c);
  if (multiplies_bfloat16(c.qkv.dtype())) return run_rounded(c);
  dispatch_floating("attention", c.qkv.dtype(), [&]<class T>() { run<T>(c); });
}

void check_attention(const Tensor& qkv, const Tensor& offsets, int64_t heads) {
  check<DtypeError>(carries_gradient(qkv.dtype()), "attention",
                    "qkv must be float32 or float64, got ", qkv.dtype());
  check<ArgumentError>(heads > 0, "attention", "heads must be positive, got ", heads);
  check(qkv.rank() == 2 && qkv.size(1) % (3 * heads) == 0 && qkv.size(1) > 0, "attention",
        "qkv must be [T, 3 D] with D a multiple of ", heads, " heads, got ", qkv.shape());
  if (qkv.device() == Device::cuda) check_depth(qkv.size(1) / 3 / heads);
  check_offsets("attention", offsets, qkv);
}

}  // namespace

Tensor attention(const Tensor& qkv, const Tensor& offsets, int64_t heads) {
  check_attention(qkv, offsets, heads);
  const int64_t rows = qkv.size(0);
  Tensor z = Tensor::empty({rows, qkv.size(1) / 3}, qkv.dtype(), qkv.device());
  const Tensor log_sum = Tensor::empty({heads, rows}, computed_in(qkv.dtype()), qkv.device());
  run_anywhere({qkv, offsets, z, log_sum, heads});
  if (!needs_grad({qkv})) return z;
  return record("attention", z, {qkv},
                [kept = Saved(qkv), kept_z = Saved(z), kept_offsets = Saved(offsets), log_sum,
                 heads](const Tensor& dz, Needs) -> Grads {
                  const Tensor& qkv = kept.get();
                  Tensor dqkv = Tensor::empty(qkv.shape(), qkv.dtype(), qkv.device());
                  run_anywhere({qkv, kept_offsets.get(), kept_z.get(), log_sum, heads, dz, dqkv});
                  return {dqkv};
                });
}

}  // namespace normlab
