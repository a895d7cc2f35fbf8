#pragma once

#include <algorithm>

#include "cpu/parallel.h"
#include "normlab/tensor.h"
#include "ops/attention.h"

// Heads on the CPU's threads, wherever their rows come from.

namespace normlab {

inline int64_t scratch_size(const AttentionHead<float>& h) {
  return attention_scratch(h);
}
inline int64_t scratch_size(const AttentionHead<double>& h) {
  return h.keys;
}
inline void run_head(const AttentionHead<float>& h, float* scratch) {
  const AttentionKernels& kernels = attention_kernels_for_cpu();
  (h.dq.data ? kernels.backward : kernels.forward)(h, scratch);
}
inline void run_head(const AttentionHead<double>& h, double* scratch) {
  h.dq.data ? reference::attention_backward(h) : reference::attention(h, scratch);
}

/// All heads of all sentences, each by one thread. `head_of(job)` is head `job % heads` of sentence
/// `job / heads`, and `cost` its work in elementary operations. Sentences of a part share its
/// scratch, which is there before the threads start: nothing in them can fail.
template <class T, class HeadOf>
void run_heads(int64_t sentences, int64_t heads, int64_t cost, const HeadOf& head_of) {
  const int64_t jobs = sentences * heads;
  if (jobs == 0) return;
  int64_t numbers = 0;
  for (int64_t s = 0; s < sentences; ++s)
    numbers = std::max(numbers, (scratch_size(head_of(s * heads)) + 15) / 16 * 16);
  const int64_t parts = std::min<int64_t>(jobs, num_threads());
  Tensor scratch = Tensor::empty({parts, numbers}, dtype_of<T>);
  T* first = scratch.data<T>();
  parallel_for(parts, cost * (jobs / parts + 1), [&, parts](int64_t part) {
    for (int64_t job = jobs * part / parts; job < jobs * (part + 1) / parts; ++job) {
      const AttentionHead<T> h = head_of(job);
      if (h.queries > 0 || (h.dq.data && h.keys > 0)) run_head(h, first + part * numbers);
    }
  });
}

}  // namespace normlab
