#include "normlab/norm.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "core/dispatch.h"
#include "core/tensor_impl.h"
#include "cpu/cache_size.h"
#include "cpu/parallel.h"
#include "cuda/library.h"
#include "normlab/autograd.h"
#include "normlab/ops.h"
#include "ops/norm.h"
#include "ops/norm_cuda.h"
#include "ops/norm_kernels.h"
#include "ops/norm_range.h"

namespace normlab {
namespace {

/// How x is cut into rows that share their statistics, and into blocks that share a parameter.
struct Layout {
  Shape parameter;  ///< shape of gain and bias
  int64_t rows = 0, H = 0;
  int64_t groups = 1, segment = 0;              ///< see NormProblem
  int64_t outer = 1, channels = 1, places = 1;  ///< x as [outer, channels, places]
};

bool takes_gain(const NormTraits& v) {
  return v.output == Output::affine || v.output == Output::gain;
}
bool takes_bias(const NormTraits& v) {
  return v.output == Output::affine || v.output == Output::bias;
}

bool takes_running(const NormTraits& v) {
  return v.group == Group::batch || v.group == Group::channel;
}
/// Whether the running statistics take the place of x's own.
bool uses_running(const NormOptions& o) {
  return o.running_mean.defined() && !o.training;
}
/// Where the running statistics are used, every row of a channel has the same: batchnorm.
NormTraits grouped_by(NormTraits v, const NormOptions& o) {
  if (v.group == Group::channel && uses_running(o)) v.group = Group::batch;
  return v;
}

Layout row_layout(const NormTraits& v, const Shape& row, int64_t outer) {
  Layout l;
  l.parameter = v.scalar_gain ? Shape{1} : row;
  l.H = row.numel();
  l.rows = outer;
  l.segment = v.scalar_gain ? l.H : 0;
  return l;
}

Layout channel_layout(const NormTraits& v, const Shape& row, int64_t outer, int64_t groups) {
  Layout l;
  l.outer = outer;
  l.channels = row[0];
  l.places = row.numel(1, row.rank());
  l.parameter = {l.channels};
  if (v.group == Group::batch) {
    l.rows = l.groups = l.channels;
    l.H = l.segment = outer * l.places;
    return l;
  }
  l.groups = v.group == Group::channel ? l.channels
             : groups > 0              ? groups
                                       : std::gcd(l.channels, int64_t{32});
  check(l.channels % l.groups == 0, "normalize", "groups must divide the channels, got ", l.groups,
        " groups for ", l.channels, " channels (variant '", v.name, "')");
  l.rows = outer * l.groups;
  l.segment = l.places;
  l.H = l.channels / l.groups * l.places;
  return l;
}

Layout layout_of(const Tensor& x, const NormTraits& v, const NormOptions& o) {
  check(o.axes >= 1 && o.axes <= x.rank(), "normalize", "axes must be in [1, ", x.rank(),
        "] for x ", x.shape(), ", got ", o.axes);
  const int first = x.rank() - o.axes;
  const Shape row = x.shape().sub(first, x.rank());
  const int64_t outer = x.shape().numel(0, first);
  return v.group == Group::row ? row_layout(v, row, outer)
                               : channel_layout(v, row, outer, o.groups);
}

// --- checks -----------------------------------------------------------------------------------

void check_parameter(const char* name, bool taken, const Tensor& t, const Shape& want,
                     const Tensor& x, const NormTraits& v) {
  if (!t.defined()) return;
  check<ArgumentError>(taken, "normalize", "variant '", v.name, "' takes no ", name);
  check(t.shape() == want, "normalize", name, " must be ", want, " for x ", x.shape(), ", got ",
        t.shape(), " (variant '", v.name, "')");
  const DType wide = computed_in(x.dtype());
  check<DtypeError>(t.dtype() == x.dtype() || t.dtype() == wide, "normalize", name, " must be ",
                    x.dtype(), " as x", wide == x.dtype() ? "" : ", or float32", ", got ",
                    t.dtype());
  check<DeviceError>(t.device() == x.device(), "normalize", name, " must be on ", x.device(),
                     " as x, is on ", t.device());
}

void check_running(const Tensor& x, const NormTraits& v, const NormOptions& o, const Layout& l) {
  const bool batch = v.group == Group::batch, taken = takes_running(v);
  check_parameter("running_mean", taken, o.running_mean, l.parameter, x, v);
  check_parameter("running_var", taken, o.running_var, l.parameter, x, v);
  for (const Tensor& t : {o.running_mean, o.running_var})
    if (t.defined())
      check<DtypeError>(t.dtype() == computed_in(x.dtype()), "normalize",
                        "running statistics of x ", x.dtype(), " must be float32, got ", t.dtype());
  check<ArgumentError>(o.running_mean.defined() == o.running_var.defined(), "normalize",
                       "running_mean and running_var must be given both or not at all");
  check<ArgumentError>(!batch || o.training || o.running_mean.defined(), "normalize",
                       "variant 'batchnorm' outside training needs running_mean and running_var");
}

void check_options(const Tensor& x, const NormTraits& v, const NormOptions& o, const Layout& l) {
  check<ArgumentError>(
      v.scale != Scale::tanh || (v.output != Output::adaptive && v.output != Output::residual),
      "normalize", "tanh goes with gain and bias only (variant '", v.name, "')");
  check_numbers("normalize", v, o);
  check_parameter("gain", takes_gain(v), o.gain, l.parameter, x, v);
  check_parameter("bias", takes_bias(v), o.bias, l.parameter, x, v);
  check_parameter("alpha", v.scale == Scale::tanh, o.alpha, {1}, x, v);
  check_running(x, v, o, l);
  const bool unbiased = o.denominator == Denominator::std_eps && v.scale == Scale::std;
  const bool running = uses_running(o);
  check<ArgumentError>(
      v.group != Group::channel || !o.running_mean || running || l.H != 1, "normalize", "variant '",
      v.name,
      "' with running statistics needs more than one place a channel in training, x "
      "is ",
      x.shape());
  check<ArgumentError>(v.group != Group::batch || running || l.H != 1, "normalize",
                       "variant 'batchnorm' in training needs more than one value a channel, x is ",
                       x.shape(), "; leave out a last batch of one row, or use eval()");
  check(!unbiased || running || l.H != 1, "normalize",
        "denominator 'std_eps' divides by the unbiased deviation, which one element does not have; "
        "x is ",
        x.shape(), " (variant '", v.name, "')");
}

// --- batchnorm: channels first, so that a channel is a row ------------------------------------

/// [a, b, places] -> [b, a, places].
Tensor swap_outer(const Tensor& x, int64_t a, int64_t b, int64_t places, const Shape& shape) {
  Tensor z = Tensor::empty(shape, x.dtype());
  dispatch_floating("normalize", x.dtype(), [&]<class T>() {
    const T* from = x.data<T>();
    T* to = z.data<T>();
    parallel_for(b, a * places, [&](int64_t j) {
      for (int64_t i = 0; i < a; ++i)
        std::copy_n(from + (i * b + j) * places, places, to + (j * a + i) * places);
    });
  });
  return z;
}

Tensor channels_first(const Tensor& x, const Layout& l) {
  return swap_outer(x, l.outer, l.channels, l.places, {l.channels, l.outer, l.places});
}
Tensor channels_back(const Tensor& x, const Layout& l, const Shape& shape) {
  return swap_outer(x, l.channels, l.outer, l.places, shape);
}

// --- running the kernels ----------------------------------------------------------------------

/// What backward needs beside x: [5, rows] of mean, rstd, shift, coef and factor, and topk's
/// indices.
struct Stats {
  Tensor values, extremes;
};

/// Everything fixed about one call, shared by forward and backward.
struct Call {
  NormTraits traits;
  NormOptions options;
  Layout layout;

  bool given_stats() const { return uses_running(options); }
  /// Whether this call's statistics go into the running ones: those of no elements are none.
  bool updates_running() const {
    return options.running_mean.defined() && options.training && layout.rows > 0 && layout.H > 0;
  }
  int64_t clamp() const {
    if (!traits.clamp) return 0;
    const auto kk = static_cast<int64_t>(options.topk_share * static_cast<double>(layout.H));
    return kk > 1 ? kk : 0;  // the greatest clamped to the greatest: nothing to do
  }
};

template <class T>
const T* data_or_null(const Tensor& t) {
  return t.defined() ? t.data<T>() : nullptr;
}

template <class T>
NormProblem<T> problem_of(const Call& call, const Tensor& x, Stats& stats, const Tensor& gain,
                          const Tensor& bias, const Tensor& alpha) {
  const Layout& l = call.layout;
  NormProblem<T> p;
  p.traits = &call.traits;
  p.rows = l.rows;
  p.H = l.H;
  p.eps = call.options.eps;
  p.denominator = call.options.denominator;
  p.C = call.options.C;
  p.k = call.options.k;
  p.clamp = call.clamp();
  p.given_stats = call.given_stats();
  p.x = x.data<T>();
  p.gain = data_or_null<T>(gain);
  p.bias = data_or_null<T>(bias);
  p.alpha = alpha.defined() ? alpha.item() : 0.5;
  p.groups = l.groups;
  // Without parameters every row is the simple case.
  p.segment = p.gain || p.bias || l.segment == 0 ? l.segment : 0;
  if (stats.values.defined()) {
    T* s = stats.values.data<T>();
    p.mean = s;
    p.rstd = s + l.rows;
    p.shift = s + 2 * l.rows;
    p.coef = s + 3 * l.rows;
    p.factor = s + 4 * l.rows;
  }
  if (stats.extremes.defined()) p.extremes = stats.extremes.data<int32_t>();
  return p;
}

bool aligned(const void* p) {
  return reinterpret_cast<uintptr_t>(p) % 64 == 0;
}

/// Results are written past the caches if x, z, dz and dx together do not fit them: reading each
/// line before it is overwritten would cost a third of the traffic.
template <class T>
bool should_stream(const NormProblem<T>& p, const T* result) {
  const int64_t bytes = p.rows * p.H * static_cast<int64_t>(sizeof(T));
  return p.segment == 0 && p.H % 16 == 0 && aligned(result) && 4 * bytes >= last_cache_bytes();
}

constexpr int64_t kCostPerElement = 4;

void forward_rows(const NormProblem<float>& p, int64_t begin, int64_t end) {
  norm_kernels_for_cpu().forward(p, begin, end);
}
void forward_rows(const NormProblem<double>& p, int64_t begin, int64_t end) {
  norm_forward_reference(p, begin, end);
}
void backward_rows(const NormProblem<float>& p, int64_t begin, int64_t end,
                   const NormParamGrads<float>& grads) {
  norm_kernels_for_cpu().backward(p, begin, end, grads);
}
void backward_rows(const NormProblem<double>& p, int64_t begin, int64_t end,
                   const NormParamGrads<double>& grads) {
  norm_backward_reference(p, begin, end, grads);
}

/// The running statistics as mean and rstd of each row, which is a channel. With a huge mean x and
/// mean are halved first, or their difference would overflow.
template <class T>
void use_running(const Call& call, NormProblem<T>& p) {
  const std::vector<double> mean = call.options.running_mean.to_vector();
  const std::vector<double> var = call.options.running_var.to_vector();
  for (int64_t r = 0; r < p.rows; ++r) {
    const auto i = static_cast<size_t>(r);
    const double sigma = p.denominator == Denominator::var_eps ? std::sqrt(var[i] + p.eps)
                                                               : std::sqrt(var[i]) + p.eps;
    p.factor[r] = std::abs(mean[i]) > NormRange<T>::most ? T(0.5) : T(1);
    p.mean[r] = static_cast<T>(mean[i]) * p.factor[r];
    p.rstd[r] = static_cast<T>(sigma == 0 ? 0 : 1 / sigma / static_cast<double>(p.factor[r]));
    p.shift[r] = p.coef[r] = T(0);
  }
}

/// running = (1 - momentum) running + momentum batch, with the unbiased variance (Ioffe & Szegedy);
/// of instancenorm the mean over the rows of each channel.
template <class T>
void update_running(Call& call, const NormProblem<T>& p) {
  const double m = call.options.momentum, n = static_cast<double>(p.H);
  const double unbiased = p.denominator == Denominator::var_eps && p.H > 1 ? n / (n - 1) : 1;
  T* mean = call.options.running_mean.data<T>();
  T* var = call.options.running_var.data<T>();
  const int64_t channels = call.layout.channels;
  const double each = m / static_cast<double>(p.rows / channels);
  for (int64_t c = 0; c < channels; ++c) {
    double new_mean = (1 - m) * mean[c], new_var = (1 - m) * var[c];
    for (int64_t r = c; r < p.rows; r += channels) {
      new_mean += each * p.moments[r].mean;
      new_var += each * unbiased * p.moments[r].var;
    }
    mean[c] = static_cast<T>(new_mean);
    var[c] = static_cast<T>(new_var);
  }
  call.options.running_mean.bump_version();
  call.options.running_var.bump_version();
}

template <class T>
Tensor run_forward(Call& call, const Tensor& x, Stats& stats) {
  const NormOptions& o = call.options;
  Tensor z = Tensor::empty(x.shape(), x.dtype());
  NormProblem<T> p = problem_of<T>(call, x, stats, o.gain, o.bias, o.alpha);
  p.z = z.data<T>();
  p.stream = should_stream(p, p.z);
  if (x.numel() == 0) return z;
  if (p.given_stats) use_running(call, p);
  std::vector<NormMoments> moments(call.updates_running() ? static_cast<size_t>(p.rows) : 0);
  if (!moments.empty()) p.moments = moments.data();
  const int64_t block = std::max<int64_t>(1, 8192 / p.H);
  parallel_blocks(p.rows, block, p.H * kCostPerElement,
                  [&](int64_t begin, int64_t end) { forward_rows(p, begin, end); });
  if (call.updates_running()) update_running(call, p);
  return z;
}

/// Parameter gradients of fixed chunks of rows, summed in order afterwards: the same for any
/// number of threads.
template <class T>
class Partials {
 public:
  Partials(int64_t chunks, int64_t width, bool gain, bool bias, bool alpha)
      : chunks_(chunks), width_(width), gain_(gain), bias_(bias), alpha_(alpha) {
    if (gain || bias) sums_ = Tensor::zeros({chunks, 2, width}, dtype_of<T>);
    if (alpha) alphas_ = Tensor::zeros({chunks}, DType::float64);
  }

  NormParamGrads<T> chunk(int64_t i) {
    NormParamGrads<T> grads;
    if (gain_) grads.gain = sums_.data<T>() + 2 * i * width_;
    if (bias_) grads.bias = sums_.data<T>() + (2 * i + 1) * width_;
    if (alpha_) grads.alpha = alphas_.data<double>() + i;
    return grads;
  }

  Tensor gain(const Shape& shape) const { return gain_ ? total(0, shape) : Tensor(); }
  Tensor bias(const Shape& shape) const { return bias_ ? total(1, shape) : Tensor(); }
  Tensor alpha() const {
    if (!alpha_) return {};
    double sum = 0;
    for (int64_t i = 0; i < chunks_; ++i) sum += alphas_.data<double>()[i];
    return Tensor::full({1}, sum, dtype_of<T>);
  }

 private:
  Tensor total(int64_t which, const Shape& shape) const {
    Tensor result = Tensor::empty(shape, dtype_of<T>);
    const T* from = sums_.data<T>() + which * width_;
    T* to = result.data<T>();
    parallel_blocks(width_, 256, chunks_, [&](int64_t begin, int64_t end) {
      double sum[256] = {};
      for (int64_t i = 0; i < chunks_; ++i)
        for (int64_t j = begin; j < end; ++j) sum[j - begin] += from[2 * i * width_ + j];
      for (int64_t j = begin; j < end; ++j) to[j] = static_cast<T>(sum[j - begin]);
    });
    return result;
  }

  int64_t chunks_, width_;
  bool gain_, bias_, alpha_;
  Tensor sums_, alphas_;
};

/// Rows in a chunk of the backward pass: at least 32 chunks for the threads, at most 512 rows for
/// the precision of a chunk's sums, whole fours for the kernel.
int64_t chunk_rows(int64_t rows) {
  return std::min<int64_t>(((rows + 31) / 32 + 3) / 4 * 4, 512);
}

struct BackwardResult {
  Tensor dx, gain, bias, alpha;
};

template <class T>
BackwardResult run_backward(const Call& call, const Tensor& x, Stats& stats, const Tensor& gain,
                            const Tensor& alpha, const Tensor& dz, Needs needs) {
  BackwardResult result;
  NormProblem<T> p = problem_of<T>(call, x, stats, gain, {}, alpha);
  if (needs[1] || needs[2]) p.segment = call.layout.segment;
  p.dz = dz.data<T>();
  if (needs[0]) {
    result.dx = Tensor::empty(x.shape(), x.dtype());
    p.dx = result.dx.data<T>();
    p.stream = should_stream(p, p.dx);
  }
  const Shape& shape = call.layout.parameter;
  const int64_t rows = chunk_rows(p.rows);
  const int64_t chunks = p.rows > 0 ? (p.rows + rows - 1) / rows : 0;
  Partials<T> partials(chunks, shape.numel(), needs[1], needs[2], needs[3]);
  if (x.numel() > 0)
    parallel_blocks(p.rows, rows, p.H * kCostPerElement, [&](int64_t begin, int64_t end) {
      backward_rows(p, begin, end, partials.chunk(begin / rows));
    });
  result.gain = partials.gain(shape);
  result.bias = partials.bias(shape);
  result.alpha = partials.alpha();
  return result;
}

// --- on the GPU -------------------------------------------------------------------------------

template <class T>
T* on_gpu(const Tensor& t) {
  return t.defined() ? static_cast<T*>(device_data(t)) : nullptr;
}

/// What the CPU does by moving channels or plain loops and the GPU has no kernel for.
void check_gpu_has(const NormTraits& v, int64_t clamp) {
  const bool batch = v.group == Group::batch, tanh = v.scale == Scale::tanh;
  check<DeviceError>(
      !(batch && (tanh || clamp > 0)) && !(tanh && (v.group != Group::row || v.scalar_gain)),
      "normalize", "a variant like '", v.name,
      "' (clamp or tanh over groups of channels) cannot go on cuda");
}

template <class T>
cuda::NormArgs<T> gpu_args(const Call& call, const Tensor& x, const Stats& stats,
                           const Tensor& gain, const Tensor& alpha) {
  using A = cuda::accumulate_t<T>;
  const NormTraits& v = call.traits;
  const NormOptions& o = call.options;
  const Layout& l = call.layout;
  cuda::NormArgs<T> a{};
  a.rows = l.rows;
  a.H = l.H;
  a.groups = l.groups;
  a.segment = l.segment;
  a.scale = v.scale;
  a.output = v.output;
  a.given_stats = call.given_stats();
  a.via_mean = v.scale == Scale::std && v.grad_mean && !a.given_stats;
  a.via_scale = v.grad_scale && !a.given_stats;
  a.var_eps = o.denominator == Denominator::var_eps;
  a.batch = v.group == Group::batch;
  a.places = l.places;
  a.clamp = call.clamp();
  a.eps = static_cast<A>(o.eps);
  a.exact_eps = o.eps;
  a.C = static_cast<A>(o.C);
  a.k = static_cast<A>(o.k);
  a.momentum = static_cast<A>(o.momentum);
  a.x = on_gpu<T>(x);
  a.gain = on_gpu<A>(gain);
  a.alpha = on_gpu<A>(alpha);
  if (A* s = on_gpu<A>(stats.values)) {
    a.mean = s;
    a.off = s + l.rows;
    a.rstd = s + 2 * l.rows;
    a.coef = s + 3 * l.rows;
    a.factor = s + 4 * l.rows;
  }
  a.extremes = on_gpu<int32_t>(stats.extremes);
  a.running_mean = on_gpu<A>(o.running_mean);
  a.running_var = on_gpu<A>(o.running_var);
  a.updates_running = call.updates_running();
  return a;
}

/// Runs one of the GPU's functions with the memory that it asks for.
template <class T>
void gpu_run(cuda::NormArgs<T>& a, int64_t (*scratch_for)(const cuda::NormArgs<T>&),
             cuda::Failure (*run)(const cuda::NormArgs<T>&)) {
  using A = cuda::accumulate_t<T>;
  Tensor scratch;
  if (const int64_t n = scratch_for(a); n > 0)
    scratch = Tensor::empty({n}, dtype_of<A>, Device::cuda);
  a.scratch = on_gpu<A>(scratch);
  cuda::call("normalize", run, a);
}

/// With a residual, x + residual is what is normalised; it goes to `total`.
template <class T>
Tensor gpu_forward(Call& call, const Tensor& x, Stats& stats, const Tensor& residual,
                   const Tensor& total) {
  NormOptions& o = call.options;
  check_gpu_has(call.traits, call.clamp());
  const Tensor z = Tensor::empty(x.shape(), x.dtype(), Device::cuda);
  cuda::NormArgs<T> a = gpu_args<T>(call, x, stats, o.gain, o.alpha);
  a.bias = on_gpu<cuda::accumulate_t<T>>(o.bias);
  a.residual = on_gpu<T>(residual);
  a.total = on_gpu<T>(total);
  a.z = on_gpu<T>(z);
  const cuda::NormCalls<T>& calls = cuda::backend().norm->of<T>();
  gpu_run(a, calls.forward_scratch, calls.forward);
  if (a.updates_running) {
    o.running_mean.bump_version();
    o.running_var.bump_version();
  }
  return z;
}

template <class T>
BackwardResult gpu_backward(const Call& call, const Tensor& x, const Stats& stats,
                            const Tensor& gain, const Tensor& alpha, const Tensor& dz,
                            Needs needs) {
  using A = cuda::accumulate_t<T>;
  const auto parameter = [&](bool wanted, const Shape& shape) {
    if (!wanted) return Tensor();
    return x.numel() == 0 ? Tensor::zeros(shape, dtype_of<A>, Device::cuda)
                          : Tensor::empty(shape, dtype_of<A>, Device::cuda);
  };
  BackwardResult result;
  if (needs[0]) result.dx = Tensor::empty(x.shape(), x.dtype(), Device::cuda);
  result.gain = parameter(needs[1], call.layout.parameter);
  result.bias = parameter(needs[2], call.layout.parameter);
  result.alpha = parameter(needs[3], {1});
  cuda::NormArgs<T> a = gpu_args<T>(call, x, stats, gain, alpha);
  a.dz = on_gpu<T>(dz);
  a.dx = on_gpu<T>(result.dx);
  a.dgain = on_gpu<A>(result.gain);
  a.dbias = on_gpu<A>(result.bias);
  a.dalpha = on_gpu<A>(result.alpha);
  const cuda::NormCalls<T>& calls = cuda::backend().norm->of<T>();
  gpu_run(a, calls.backward_scratch, calls.backward);
  return result;
}

/// With parameters that have the dtype that x is computed in. On the tape: their gradients have the
/// dtypes that were given.
NormOptions widened(NormOptions options, DType dtype) {
  for (Tensor* t : {&options.gain, &options.bias, &options.alpha})
    if (t->defined()) *t = t->to(computed_in(dtype));
  return options;
}

Stats make_stats(const Call& call, const Tensor& x) {
  const DType dtype = computed_in(x.dtype());
  Stats stats;
  if (call.traits.scale != Scale::tanh)
    stats.values = Tensor::empty({5, call.layout.rows}, dtype, x.device());
  if (call.clamp() > 0)
    stats.extremes = Tensor::empty({call.layout.rows, 2}, DType::int32, x.device());
  return stats;
}

/// normalize(). With a residual, x is memory for the sum of first and residual, which the kernel
/// writes on its way.
Tensor normalized(const Tensor& x, const Tensor& first, const Tensor& residual,
                  const NormTraits& given_variant, const NormOptions& given) {
  check<DtypeError>(is_computable(x), "normalize", "x must be float32 or float64, got ", x.dtype());
  const NormTraits variant = grouped_by(given_variant, given);
  const Layout layout = layout_of(x, variant, given);
  check_options(x, variant, given, layout);
  if (variant.scale == Scale::none) return x;
  const NormOptions options = widened(given, x.dtype());
  Call call{variant, options, layout};

  const bool gpu = x.device() == Device::cuda;
  const bool swapped = variant.group == Group::batch && !gpu;
  const Tensor rows = swapped ? channels_first(x, call.layout) : x;
  Stats stats = make_stats(call, x);
  Tensor z = dispatch_computable("normalize", x.dtype(), [&]<class T>() {
    if constexpr (!std::is_same_v<T, bfloat16>)
      if (!gpu) return run_forward<T>(call, rows, stats);
    return gpu_forward<T>(call, residual ? first : x, stats, residual, residual ? x : Tensor());
  });
  if (swapped) z = channels_back(z, call.layout, x.shape());
  if (!needs_grad({x, options.gain, options.bias, options.alpha})) return z;

  // The closure keeps what the formula needs and nothing that would tie it to the tape.
  const auto saved = [](const Tensor& t) { return t.defined() ? Saved(t) : Saved(); };
  const Saved gain = saved(options.gain), alpha = saved(options.alpha);
  call.options.gain = call.options.bias = call.options.alpha = {};
  return record(
      "normalize", z, {x, options.gain, options.bias, options.alpha},
      [call, rows = Saved(rows), stats, gain, alpha, swapped, has_gain = options.gain.defined(),
       has_alpha = options.alpha.defined()](const Tensor& dz, Needs needs) mutable -> Grads {
        const Tensor& x = rows.get();
        const Tensor g = swapped ? channels_first(dz, call.layout) : dz;
        const Tensor own_gain = has_gain ? gain.get() : Tensor(),
                     own_alpha = has_alpha ? alpha.get() : Tensor();
        BackwardResult r = dispatch_computable("normalize", x.dtype(), [&]<class T>() {
          if constexpr (!std::is_same_v<T, bfloat16>)
            if (x.device() == Device::cpu)
              return run_backward<T>(call, x, stats, own_gain, own_alpha, g, needs);
          return gpu_backward<T>(call, x, stats, own_gain, own_alpha, g, needs);
        });
        if (swapped && r.dx) r.dx = channels_back(r.dx, call.layout, dz.shape());
        return {r.dx, r.gain, r.bias, r.alpha};
      });
}

void check_residual(const Tensor& x, const Tensor& residual) {
  check(residual.shape() == x.shape(), "normalize_residual", "residual must be ", x.shape(),
        " as x, got ", residual.shape());
  check<DtypeError>(residual.dtype() == x.dtype(), "normalize_residual", "residual must be ",
                    x.dtype(), " as x, got ", residual.dtype());
  check<DeviceError>(residual.device() == x.device(), "normalize_residual", "residual must be on ",
                     x.device(), " as x, is on ", residual.device());
}

/// Whether the GPU's kernel adds the residual: the rows lie in one piece, and are read once.
bool fuses_residual(const NormTraits& v) {
  return v.group != Group::batch && v.scale != Scale::tanh && v.scale != Scale::none && !v.clamp;
}

}  // namespace

const NormTraits& norm_variant(std::string_view name) {
  std::string known;
  for (const NormTraits& v : kNormVariants) {
    if (v.name == name) return v;
    known += (known.empty() ? "" : ", ") + std::string(v.name);
  }
  fail<ArgumentError>("norm", "unknown variant '", name, "'; known are ", known);
}

Denominator denominator_named(std::string_view name) {
  if (name == "var_eps") return Denominator::var_eps;
  check<ArgumentError>(name == "std_eps", "norm",
                       "denominator must be 'var_eps' or 'std_eps', got '", name, "'");
  return Denominator::std_eps;
}

namespace {

/// An option that does nothing was meant for another variant. eps and the denominator are for all:
/// variants are compared under one setting of them.
void check_taken(const char* op, const NormTraits& v, const NormOptions& o) {
  const NormOptions usual;
  const auto check_option = [&](bool taken, const char* name, const auto& value,
                                const auto& other) {
    check<ArgumentError>(taken || value == other, op, "variant '", v.name, "' takes no ", name,
                         ", got ", value);
  };
  check_option(v.output == Output::adaptive, "C", o.C, usual.C);
  check_option(v.output == Output::adaptive, "k", o.k, usual.k);
  check_option(v.clamp, "topk_share", o.topk_share, usual.topk_share);
  check_option(v.group == Group::channels, "groups", o.groups, usual.groups);
  check_option(takes_running(v), "momentum", o.momentum, usual.momentum);
  check<ArgumentError>(takes_running(v) || !o.track_running_stats, op, "variant '", v.name,
                       "' takes no track_running_stats");
}

void check_ranges(const char* op, const NormOptions& o) {
  check<ArgumentError>(o.eps >= 0 && std::isfinite(o.eps), op,
                       "eps must be finite and not negative, got ", o.eps);
  check<ArgumentError>(std::isfinite(o.C) && std::isfinite(o.k), op, "C and k must be finite, got ",
                       o.C, " and ", o.k);
  check<ArgumentError>(o.topk_share >= 0 && o.topk_share <= 1, op,
                       "topk_share must be in [0, 1], got ", o.topk_share);
  check<ArgumentError>(o.momentum >= 0 && o.momentum <= 1, op, "momentum must be in [0, 1], got ",
                       o.momentum);
  check<ArgumentError>(o.groups >= 0, op, "groups must not be negative, got ", o.groups);
}

}  // namespace

void check_numbers(const char* op, const NormTraits& v, const NormOptions& o) {
  check_taken(op, v, o);
  check_ranges(op, o);
}

NormOptions taken_options(const char* op, const NormTraits& v, NormOptions o) {
  check_ranges(op, o);
  const NormOptions usual;
  if (v.output != Output::adaptive) {
    o.C = usual.C;
    o.k = usual.k;
  }
  if (!v.clamp) o.topk_share = usual.topk_share;
  if (v.group != Group::channels) o.groups = usual.groups;
  if (!takes_running(v)) o.momentum = usual.momentum;
  return o;
}

Tensor normalize(const Tensor& x, const NormTraits& variant, const NormOptions& options) {
  return normalized(x, {}, {}, variant, options);
}

std::pair<Tensor, Tensor> normalize_residual(const Tensor& x, const Tensor& residual,
                                             const NormTraits& variant,
                                             const NormOptions& options) {
  check_residual(x, residual);
  const bool fused = x.device() == Device::cuda && fuses_residual(grouped_by(variant, options));
  if (!fused) {
    const Tensor total = x + residual;
    return {normalize(total, variant, options), total};
  }
  // The kernel fills the sum after it is on the tape.
  const Tensor total = record("add", Tensor::empty(x.shape(), x.dtype(), x.device()), {x, residual},
                              [](const Tensor& dz, Needs) -> Grads {
                                return {dz, dz};
                              });
  return {normalized(total, x, residual, variant, options), total};
}

}  // namespace normlab
