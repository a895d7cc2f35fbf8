#include "ops/attention.h"

#include <cmath>

#include "core/bfloat16.h"
#include "core/dispatch.h"
#include "core/tensor_impl.h"
#include "cuda/library.h"
#include "normlab/ops.h"
#include "ops/attention_cuda.h"
#include "ops/attention_run.h"
#include "ops/elementwise.h"
#include "ops/segments.h"

namespace normlab {
namespace {

/// Rows of queries and of keys and values, which are the last two parts of kv's rows: in
/// self-attention q and kv are one tensor [T, 3 D].
struct PackedAttention {
  const char* op;
  Tensor q, kv, offsets, key_offsets, z, log_sum;
  int64_t heads;
  bool causal;
  Tensor dz = {}, dq = {}, dkv = {};
  bool bfloat16_products = false;

  bool is_self() const { return q.is(kv); }
  int64_t sentences() const { return offsets.numel() - 1; }
  int64_t size() const { return z.size(1); }
  int64_t key_column() const { return kv.size(1) - 2 * size(); }
  int64_t value_column() const { return kv.size(1) - size(); }
};

/// Rows of x from element (row, column) on; those of a gradient that is not asked for are null.
template <class T>
HeadRows<T> rows_of(const Tensor& x, int64_t row, int64_t column) {
  if (!x) return {};
  return {static_cast<T*>(x.raw()) + row * x.size(1) + column, x.size(1)};
}

/// Head `job % heads` of sentence `job / heads`.
template <class T>
AttentionHead<T> head_of(const PackedAttention& c, int64_t job) {
  const int64_t sentence = job / c.heads, head = job % c.heads;
  const int64_t* offset = c.offsets.data<int64_t>() + sentence;
  const int64_t* key_offset = c.key_offsets.data<int64_t>() + sentence;
  AttentionHead<T> h;
  h.queries = offset[1] - offset[0];
  h.keys = key_offset[1] - key_offset[0];
  h.depth = c.size() / c.heads;
  h.causal = c.causal;
  h.scale = static_cast<T>(1 / std::sqrt(static_cast<double>(h.depth)));
  const int64_t at = head * h.depth, key = c.key_column() + at, value = c.value_column() + at;
  h.q = rows_of<const T>(c.q, offset[0], at);
  h.k = rows_of<const T>(c.kv, key_offset[0], key);
  h.v = rows_of<const T>(c.kv, key_offset[0], value);
  h.z = rows_of<T>(c.z, offset[0], at);
  h.log_sum = static_cast<T*>(c.log_sum.raw()) + head * c.z.size(0) + offset[0];
  h.dz = rows_of<const T>(c.dz, offset[0], at);
  h.dq = rows_of<T>(c.dq, offset[0], at);
  h.dk = rows_of<T>(c.dkv, key_offset[0], key);
  h.dv = rows_of<T>(c.dkv, key_offset[0], value);
  h.bfloat16_products = c.bfloat16_products;
  return h;
}

template <class T>
void run(const PackedAttention& c) {
  if (c.sentences() == 0) return;
  const int64_t queries = c.z.size(0) / c.sentences() + 1, keys = c.kv.size(0) / c.sentences() + 1;
  run_heads<T>(c.sentences(), c.heads, queries * keys * c.size() / c.heads / 4,
               [&](int64_t job) { return head_of<T>(c, job); });
}

/// Of operands that are bfloat16 or rounded to it: all between the products is float32.
void run_rounded(const PackedAttention& c) {
  const bool stored = c.q.dtype() == DType::bfloat16, backward = c.dq.defined();
  PackedAttention rounded = c;
  rounded.bfloat16_products = true;
  rounded.q = rounded_to_bfloat16(c.q);
  rounded.kv = c.is_self() ? rounded.q : rounded_to_bfloat16(c.kv);
  if (backward) rounded.dz = rounded_to_bfloat16(c.dz);
  if (!stored) return run<float>(rounded);
  rounded.z = backward ? rounded_to_bfloat16(c.z) : Tensor::empty(c.z.shape());
  if (backward) rounded.dq = Tensor::empty(c.dq.shape());
  if (backward) rounded.dkv = c.is_self() ? rounded.dq : Tensor::empty(c.dkv.shape());
  run<float>(rounded);
  const auto narrow = [](const Tensor& from, const Tensor& to) {
    convert_values(from.data<float>(), static_cast<bfloat16*>(to.raw()), to.numel());
  };
  if (!backward) return narrow(rounded.z, c.z);
  narrow(rounded.dq, c.dq);
  if (!c.is_self()) narrow(rounded.dkv, c.dkv);
}

// --- on the GPU -------------------------------------------------------------------------------

void check_depth(const char* op, int64_t depth) {
  constexpr int64_t kMost = cuda::AttentionFunctions::kMostDepth;
  check<DeviceError>(depth <= kMost, op, "heads on cuda have at most ", kMost, " elements, got ",
                     depth);
}

/// Pointer to the elements of x from a column on.
const void* column_of(const Tensor& x, int64_t column) {
  return static_cast<const char*>(device_data(x)) + column * size_of(x.dtype());
}

cuda::AttentionArgs gpu_args(const PackedAttention& c) {
  cuda::AttentionArgs args{};
  args.dtype = c.q.dtype();
  args.offsets = static_cast<const int64_t*>(device_data(c.offsets));
  args.key_begin = static_cast<const int64_t*>(device_data(c.key_offsets));
  args.key_end = args.key_begin + 1;
  args.rows = c.q.size(0);
  args.key_rows = c.kv.size(0);
  args.sentences = c.sentences();
  args.heads = c.heads;
  args.depth = c.size() / c.heads;
  args.causal = c.causal;
  args.checks_keys = !c.is_self();
  args.scale = 1 / std::sqrt(static_cast<double>(args.depth));
  args.q = device_data(c.q);
  args.k = column_of(c.kv, c.key_column());
  args.v = column_of(c.kv, c.value_column());
  args.q_step = c.q.size(1);
  args.kv_step = c.kv.size(1);
  args.z = device_data(c.z);
  args.log_sum = device_data(c.log_sum);
  args.check =
      cuda::value_check(c.op, c.offsets.shape(), args.rows, c.is_self() ? "offsets" : "q_offsets");
  args.key_check = cuda::value_check(c.op, c.key_offsets.shape(), args.key_rows, "kv_offsets");
  return args;
}

void run_on_gpu(const PackedAttention& c) {
  cuda::AttentionArgs args = gpu_args(c);
  const cuda::AttentionFunctions& gpu = *cuda::backend().attention;
  if (!c.dq) return cuda::call(c.op, gpu.forward, args);
  const Tensor delta = Tensor::empty(c.log_sum.shape(), c.log_sum.dtype(), Device::cuda);
  args.dz = device_data(c.dz);
  args.delta = device_data(delta);
  args.dq = device_data(c.dq);
  args.dk = const_cast<void*>(column_of(c.dkv, c.key_column()));
  args.dv = const_cast<void*>(column_of(c.dkv, c.value_column()));
  cuda::call(c.op, gpu.backward, args);
}

void run_anywhere(const PackedAttention& c) {
  if (c.q.device() == Device::cuda) return run_on_gpu(c);
  if (multiplies_bfloat16(c.q.dtype())) return run_rounded(c);
  dispatch_floating(c.op, c.q.dtype(), [&]<class T>() { run<T>(c); });
}

// --- the ops ----------------------------------------------------------------------------------

void check_attention(const Tensor& qkv, const Tensor& offsets, int64_t heads) {
  check_carries_gradient("attention", "qkv", qkv);
  check<ArgumentError>(heads > 0, "attention", "heads must be positive, got ", heads);
  check(qkv.rank() == 2 && qkv.size(1) % (3 * heads) == 0 && qkv.size(1) > 0, "attention",
        "qkv must be [T, 3 D] with D a multiple of ", heads, " heads, got ", qkv.shape());
  if (qkv.device() == Device::cuda) check_depth("attention", qkv.size(1) / 3 / heads);
  check_offsets("attention", offsets, qkv);
}

/// Throws unless each sentence on the CPU has the keys that its queries need.
void check_keys(const Tensor& q_offsets, const Tensor& kv_offsets, bool causal) {
  const int64_t *at = q_offsets.data<int64_t>(), *key_at = kv_offsets.data<int64_t>();
  for (int64_t s = 0; s + 1 < q_offsets.numel(); ++s) {
    const int64_t queries = at[s + 1] - at[s], keys = key_at[s + 1] - key_at[s];
    if (queries > 0 && keys < (causal ? queries : 1))
      fail<ArgumentError>("cross_attention", cuda::too_few_keys(s, queries, keys));
  }
}

void check_cross(const Tensor& q, const Tensor& kv, const Tensor& q_offsets,
                 const Tensor& kv_offsets, int64_t heads, bool causal) {
  constexpr const char* op = "cross_attention";
  check_carries_gradient(op, "q", q);
  check_same(op, q, kv);
  check<ArgumentError>(heads > 0, op, "heads must be positive, got ", heads);
  check(q.rank() == 2 && q.size(1) % heads == 0 && q.size(1) > 0, op,
        "q must be [Tq, D] with D a multiple of ", heads, " heads, got ", q.shape());
  check(kv.rank() == 2 && kv.size(1) == 2 * q.size(1), op, "kv must be [Tk, ", 2 * q.size(1),
        "], keys and values beside q ", q.shape(), ", got ", kv.shape());
  if (q.device() == Device::cuda) check_depth(op, q.size(1) / heads);
  check_offsets(op, q_offsets, q, "q_offsets");
  check_offsets(op, kv_offsets, kv, "kv_offsets");
  check(q_offsets.shape() == kv_offsets.shape(), op,
        "q_offsets and kv_offsets must be of as many sentences, got ", q_offsets.numel() - 1,
        " and ", kv_offsets.numel() - 1);
  if (q.device() == Device::cpu) check_keys(q_offsets, kv_offsets, causal);
}

/// Runs forward and puts backward on the tape.
Tensor attend(const char* op, const Tensor& q, const Tensor& kv, const Tensor& offsets,
              const Tensor& key_offsets, int64_t heads, bool causal) {
  const bool is_self = q.is(kv);
  const int64_t rows = q.size(0), size = is_self ? q.size(1) / 3 : q.size(1);
  const Tensor z = Tensor::empty({rows, size}, q.dtype(), q.device());
  const Tensor log_sum = Tensor::empty({heads, rows}, computed_in(q.dtype()), q.device());
  run_anywhere({op, q, kv, offsets, key_offsets, z, log_sum, heads, causal});
  if (!needs_grad({q, kv})) return z;
  const auto derivative = [=, kept_q = Saved(q), kept_kv = Saved(is_self ? Tensor() : kv),
                           kept_offsets = Saved(offsets), kept_key_offsets = Saved(key_offsets),
                           kept_z = Saved(z)](const Tensor& dz, Needs) -> Grads {
    const Tensor q = kept_q.get(), kv = is_self ? q : kept_kv.get();
    const Tensor dq = Tensor::empty(q.shape(), q.dtype(), q.device());
    const Tensor dkv = is_self ? dq : Tensor::empty(kv.shape(), kv.dtype(), kv.device());
    run_anywhere({op, q, kv, kept_offsets.get(), kept_key_offsets.get(), kept_z.get(), log_sum,
                  heads, causal, dz, dq, dkv});
    if (is_self) return {dq};
    return {dq, dkv};
  };
  return record(op, z, is_self ? std::vector{q} : std::vector{q, kv}, derivative);
}

}  // namespace

Tensor attention(const Tensor& qkv, const Tensor& offsets, int64_t heads, bool causal) {
  check_attention(qkv, offsets, heads);
  return attend("attention", qkv, qkv, offsets, offsets, heads, causal);
}

Tensor cross_attention(const Tensor& q, const Tensor& kv, const Tensor& q_offsets,
                       const Tensor& kv_offsets, int64_t heads, bool causal) {
  check_cross(q, kv, q_offsets, kv_offsets, heads, causal);
  return attend("cross_attention", q, kv, q_offsets, kv_offsets, heads, causal);
}

}  // namespace normlab
