#include <algorithm>

#include "cpu/cache_size.h"
#include "cpu/parallel.h"
#include "normlab/tensor.h"
#include "ops/norm_kernels.h"
#include "ops/norm_run.h"
#include "ops/norm_stats.h"

// The CPU's kernels over blocks of rows, in parallel. Blocks do not depend on the number of
// threads, so results do not either.

namespace normlab {
namespace {

constexpr int64_t kCostPerElement = 4;

void forward_rows(const NormProblem<float>& p, int64_t begin, int64_t end, float*) {
  norm_forward_kernel_for_cpu().run(p, begin, end);
}
void forward_rows(const NormProblem<double>& p, int64_t begin, int64_t end, float*) {
  norm_forward_reference(p, begin, end);
}
void forward_rows(const NormProblem<bfloat16>& p, int64_t begin, int64_t end, float* scratch) {
  norm_forward_bfloat16(p, begin, end, scratch);
}
void backward_rows(const NormProblem<float>& p, int64_t begin, int64_t end,
                   const NormParamGrads<float>& grads, float*) {
  norm_backward_kernel_for_cpu().run(p, begin, end, grads);
}
void backward_rows(const NormProblem<double>& p, int64_t begin, int64_t end,
                   const NormParamGrads<double>& grads, float*) {
  norm_backward_reference(p, begin, end, grads);
}
void backward_rows(const NormProblem<bfloat16>& p, int64_t begin, int64_t end,
                   const NormParamGrads<float>& grads, float* scratch) {
  norm_backward_bfloat16(p, begin, end, grads, scratch);
}

/// Calls body(begin, end, scratch) over fixed blocks of rows, in parallel. The scratch takes some
/// rows of bfloat16 as float32, `arrays` times; it is there before the threads start.
template <class T, class Body>
void for_blocks(const NormProblem<T>& p, int64_t block, int64_t arrays, const Body& body) {
  const int64_t cost = p.H * kCostPerElement;
  if constexpr (!std::is_same_v<T, bfloat16>)
    return parallel_blocks(p.rows, block, cost,
                           [&](int64_t begin, int64_t end) { body(begin, end, nullptr); });
  const int64_t blocks = (p.rows + block - 1) / block;
  const int64_t parts = std::min<int64_t>(blocks, num_threads());
  const int64_t floats = arrays * norm_window_rows(p) * p.H;
  Tensor scratch = Tensor::empty({parts, floats});
  float* first = scratch.data<float>();
  parallel_for(parts, p.rows / parts * cost, [&](int64_t part) {
    for (int64_t i = blocks * part / parts; i < blocks * (part + 1) / parts; ++i)
      body(i * block, std::min((i + 1) * block, p.rows), first + part * floats);
  });
}

/// Whole windows of bfloat16, at least `rows` rows.
template <class T>
int64_t block_rows(const NormProblem<T>& p, int64_t rows) {
  if constexpr (!std::is_same_v<T, bfloat16>) return rows;
  const int64_t window = norm_window_rows(p);
  return (rows + window - 1) / window * window;
}

/// Without parameters every row is the simple case. The result goes past the caches if x, z, dz and
/// dx together do not fit them: reading each line before it is overwritten would cost a third of
/// the traffic.
template <class T>
void choose_kernels(NormProblem<T>& p, const T* result) {
  if (!p.gain && !p.bias && !p.dgain && !p.dbias) p.segment = 0;
  const int64_t bytes = p.rows * p.H * static_cast<int64_t>(sizeof(T));
  p.stream = result && p.segment == 0 && p.H % 16 == 0 && on_cache_line(result) &&
             4 * bytes >= last_cache_bytes();
}

// --- running statistics -----------------------------------------------------------------------

template <class T>
void use_running(const NormProblem<T>& p) {
  const NormDivisor divisor(p);
  for (int64_t r = 0; r < p.rows; ++r)
    keep_stats(p, r, divisor.given<accumulate_t<T>>(p.running_mean[r], p.running_var[r]));
}

/// running = (1 - momentum) running + momentum batch, with the unbiased variance (Ioffe & Szegedy);
/// of instancenorm the mean over the rows of each channel.
template <class T>
void update_running(const NormProblem<T>& p) {
  const double m = p.settings.momentum, n = static_cast<double>(p.H);
  const double unbiased = p.var_eps() && p.H > 1 ? n / (n - 1) : 1;
  const double each = m / static_cast<double>(p.rows / p.channels);
  for (int64_t c = 0; c < p.channels; ++c) {
    double mean = (1 - m) * p.running_mean[c], var = (1 - m) * p.running_var[c];
    for (int64_t r = c; r < p.rows; r += p.channels) {
      mean += each * p.moments[r].mean;
      var += each * unbiased * p.moments[r].var;
    }
    p.running_mean[c] = static_cast<accumulate_t<T>>(mean);
    p.running_var[c] = static_cast<accumulate_t<T>>(var);
  }
}

// --- parameters' gradients --------------------------------------------------------------------

/// Sums over fixed chunks of rows, added in order afterwards: the same for any number of threads.
template <class T>
class Partials {
  using A = accumulate_t<T>;

 public:
  Partials(const NormProblem<T>& p, int64_t chunks)
      : p_(p), chunks_(chunks), width_(p.parameters()) {
    if (p.dgain || p.dbias) sums_ = Tensor::zeros({chunks, 2, width_}, dtype_of<A>);
    if (p.dalpha) alphas_ = Tensor::zeros({chunks}, DType::float64);
  }

  NormParamGrads<A> chunk(int64_t i) {
    NormParamGrads<A> grads;
    if (p_.dgain) grads.gain = sums_.data<A>() + 2 * i * width_;
    if (p_.dbias) grads.bias = sums_.data<A>() + (2 * i + 1) * width_;
    if (p_.dalpha) grads.alpha = alphas_.data<double>() + i;
    return grads;
  }

  void write_totals() const {
    if (p_.dgain) write_total(0, p_.dgain);
    if (p_.dbias) write_total(1, p_.dbias);
    if (!p_.dalpha) return;
    double sum = 0;
    for (int64_t i = 0; i < chunks_; ++i) sum += alphas_.data<double>()[i];
    *p_.dalpha = static_cast<A>(sum);
  }

 private:
  void write_total(int64_t which, A* to) const {
    const A* from = sums_.data<A>() + which * width_;
    parallel_blocks(width_, 256, chunks_, [&](int64_t begin, int64_t end) {
      double sum[256] = {};
      for (int64_t i = 0; i < chunks_; ++i)
        for (int64_t j = begin; j < end; ++j) sum[j - begin] += from[2 * i * width_ + j];
      for (int64_t j = begin; j < end; ++j) to[j] = static_cast<A>(sum[j - begin]);
    });
  }

  const NormProblem<T>& p_;
  int64_t chunks_, width_;
  Tensor sums_, alphas_;
};

/// Rows in a chunk of the backward pass: at least 32 chunks for the threads, at most 512 rows for
/// the precision of a chunk's sums, whole fours for the kernel.
int64_t chunk_rows(int64_t rows) {
  return std::min<int64_t>(((rows + 31) / 32 + 3) / 4 * 4, 512);
}

}  // namespace

template <class T>
void norm_forward_on_cpu(NormProblem<T> p) {
  if (p.rows * p.H == 0) return;
  choose_kernels(p, p.z);
  if (p.given_stats) use_running(p);
  for_blocks(
      p, block_rows(p, std::max<int64_t>(1, 8192 / p.H)), 2,
      [&](int64_t begin, int64_t end, float* scratch) { forward_rows(p, begin, end, scratch); });
  if (p.updates_running) update_running(p);
}

template <class T>
void norm_backward_on_cpu(NormProblem<T> p) {
  if (p.rows * p.H == 0) return;
  choose_kernels(p, static_cast<const T*>(p.dx));
  const int64_t rows = block_rows(p, chunk_rows(p.rows));
  Partials<T> partials(p, (p.rows + rows - 1) / rows);
  for_blocks(p, rows, 3, [&](int64_t begin, int64_t end, float* scratch) {
    backward_rows(p, begin, end, partials.chunk(begin / rows), scratch);
  });
  partials.write_totals();
}

template void norm_forward_on_cpu(NormProblem<float>);
template void norm_forward_on_cpu(NormProblem<double>);
template void norm_forward_on_cpu(NormProblem<bfloat16>);
template void norm_backward_on_cpu(NormProblem<float>);
template void norm_backward_on_cpu(NormProblem<double>);
template void norm_backward_on_cpu(NormProblem<bfloat16>);

}  // namespace normlab
