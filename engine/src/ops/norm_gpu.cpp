#include "core/tensor_impl.h"
#include "cuda/library.h"
#include "normlab/tensor.h"
#include "ops/norm_cuda.h"
#include "ops/norm_run.h"

namespace normlab {
namespace {

/// The CPU moves channels or takes plain loops where the GPU has no kernel.
void check_gpu_has(const NormPlan& p) {
  const NormTraits& v = p.traits;
  const bool tanh = v.scale == Scale::tanh;
  check<DeviceError>(
      !(p.batch() && (tanh || p.clamp > 0)) && !(tanh && (v.group != Group::row || v.scalar_gain)),
      "normalize", "a variant like '", v.name,
      "' (clamp or tanh over groups of channels) cannot go on cuda");
}

/// Calls one of the library's functions with the memory that it asks for.
template <class T>
void run(NormProblem<T>& p, int64_t (*scratch_for)(const NormProblem<T>&),
         cuda::Failure (*function)(const NormProblem<T>&)) {
  using A = accumulate_t<T>;
  Tensor scratch;
  if (const int64_t n = scratch_for(p); n > 0)
    scratch = Tensor::empty({n}, dtype_of<A>, Device::cuda);
  p.scratch = device_data_or_null<A>(scratch);
  cuda::call("normalize", function, p);
}

}  // namespace

template <class T>
void norm_forward_on_gpu(NormProblem<T> p) {
  check_gpu_has(p);
  const cuda::NormCalls<T>& calls = cuda::backend().norm->of<T>();
  run(p, calls.forward_scratch, calls.forward);
}

template <class T>
void norm_backward_on_gpu(NormProblem<T> p) {
  const cuda::NormCalls<T>& calls = cuda::backend().norm->of<T>();
  run(p, calls.backward_scratch, calls.backward);
}

#define NORMLAB_INSTANTIATE(T)                         \
  template void norm_forward_on_gpu(NormProblem<T> p); \
  template void norm_backward_on_gpu(NormProblem<T> p);
NORMLAB_INSTANTIATE(float)
NORMLAB_INSTANTIATE(double)
NORMLAB_INSTANTIATE(bfloat16)
#undef NORMLAB_INSTANTIATE

}  // namespace normlab
