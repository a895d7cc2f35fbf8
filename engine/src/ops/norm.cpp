#include "normlab/norm.h"

#include <algorithm>
#include <optional>

#include "core/dispatch.h"
#include "core/tensor_impl.h"
#include "cpu/parallel.h"
#include "normlab/autograd.h"
#include "normlab/norm_passes.h"
#include "normlab/ops.h"
#include "ops/norm_plan.h"
#include "ops/norm_run.h"

namespace normlab {
namespace {

// --- batchnorm on the CPU: channels first, so that a channel is a row -------------------------

/// [a, b, places] -> [b, a, places].
Tensor swap_outer(const Tensor& x, int64_t a, int64_t b, int64_t places, const Shape& shape) {
  Tensor z = Tensor::empty(shape, x.dtype());
  dispatch_computable("normalize", x.dtype(), [&]<class T>() {
    const T* from = x.data<T>();
    T* to = z.data<T>();
    parallel_for(b, a * places, [&](int64_t j) {
      for (int64_t i = 0; i < a; ++i)
        std::copy_n(from + (i * b + j) * places, places, to + (j * a + i) * places);
    });
  });
  return z;
}

Tensor channels_first(const Tensor& x, const NormPlan& p) {
  return swap_outer(x, p.outer, p.channels, p.places, {p.channels, p.outer, p.places});
}
Tensor channels_back(const Tensor& x, const NormPlan& p, const Shape& shape) {
  return swap_outer(x, p.channels, p.outer, p.places, shape);
}
bool is_swapped(const NormPlan& p, const Tensor& x) {
  return p.batch() && x.device() == Device::cpu;
}

// --- arrays -----------------------------------------------------------------------------------

/// Memory for what backward reads.
NormSaved saved_for(const NormPlan& p, const Tensor& x) {
  NormSaved saved;
  if (p.traits.has_statistics())
    saved.statistics = Tensor::empty({5, p.rows}, computed_in(x.dtype()), x.device());
  if (p.clamp > 0) saved.extremes = Tensor::empty({p.rows, 2}, DType::int32, x.device());
  return saved;
}

Tensor moments_for(const NormPlan& p, const Tensor& x) {
  return Tensor::empty({p.rows, 2}, DType::float64, x.device());
}

template <class T>
NormProblem<T> problem_of(const NormPlan& plan, const Tensor& x, const NormSaved& saved,
                          const Tensor& gain, const Tensor& alpha) {
  using A = accumulate_t<T>;
  NormProblem<T> p{plan};
  p.x = device_data_or_null<T>(x);
  p.gain = device_data_or_null<A>(gain);
  p.alpha = device_data_or_null<A>(alpha);
  if (A* s = device_data_or_null<A>(saved.statistics)) {
    p.mean = s;
    p.rstd = s + p.rows;
    p.shift = s + 2 * p.rows;
    p.coef = s + 3 * p.rows;
    p.factor = s + 4 * p.rows;
  }
  p.extremes = device_data_or_null<int32_t>(saved.extremes);
  return p;
}

/// With parameters of the dtype that x is computed in. On the tape: their gradients have the dtypes
/// that were given.
NormParameters widened(NormParameters t, DType dtype) {
  for (Tensor* parameter : {&t.gain, &t.bias, &t.alpha})
    if (parameter->defined()) *parameter = parameter->to(computed_in(dtype));
  return t;
}

Shape parameter_shape(const NormPlan& plan, const Tensor& x, const NormParameters& t) {
  return norm_parameter_shape(plan.traits, x.shape().sub(x.rank() - t.axes, x.rank()));
}

/// Calls on_cpu or on_gpu for x's type.
template <class OnCpu, class OnGpu>
void dispatch_device(const Tensor& x, const OnCpu& on_cpu, const OnGpu& on_gpu) {
  dispatch_computable("normalize", x.dtype(), [&]<class T>() {
    if (x.device() == Device::cpu) return on_cpu.template operator()<T>();
    on_gpu.template operator()<T>();
  });
}

// --- forward ----------------------------------------------------------------------------------

/// The addend of x, and memory for the sum, which the GPU's kernel writes on its way.
struct Residual {
  Tensor addend, total;
};

Tensor forward(const NormPlan& plan, const Tensor& x, const NormSaved& saved, NormParameters& t,
               const Residual& residual) {
  const Tensor z = Tensor::empty(x.shape(), x.dtype(), x.device());
  Tensor moments = saved.moments;
  if (plan.updates_running && !moments) moments = moments_for(plan, x);
  const auto problem = [&]<class T>() {
    using A = accumulate_t<T>;
    NormProblem<T> p = problem_of<T>(plan, x, saved, t.gain, t.alpha);
    p.residual = device_data_or_null<T>(residual.addend);
    p.total = device_data_or_null<T>(residual.total);
    p.bias = device_data_or_null<A>(t.bias);
    p.moments = device_data_or_null<NormMoments>(moments);
    p.running_mean = device_data_or_null<A>(t.running_mean);
    p.running_var = device_data_or_null<A>(t.running_var);
    p.z = device_data_or_null<T>(z);
    return p;
  };
  dispatch_device(
      x, [&]<class T>() { norm_forward_on_cpu(problem.template operator()<T>()); },
      [&]<class T>() { norm_forward_on_gpu(problem.template operator()<T>()); });
  if (plan.updates_running) {
    t.running_mean.bump_version();
    t.running_var.bump_version();
  }
  return z;
}

// --- backward ---------------------------------------------------------------------------------

/// {dx, dgain, dbias, dalpha}, as far as they are needed.
Grads backward(const NormPlan& plan, const Tensor& x, const NormSaved& saved, const Tensor& gain,
               const Tensor& alpha, const Tensor& dz, const Needs& needs, const Shape& parameter) {
  const auto gradient = [&](bool wanted, const Shape& shape) {
    if (!wanted) return Tensor();
    const DType dtype = computed_in(x.dtype());
    return x.numel() == 0 ? Tensor::zeros(shape, dtype, x.device())
                          : Tensor::empty(shape, dtype, x.device());
  };
  const Tensor dx = needs[0] ? Tensor::empty(x.shape(), x.dtype(), x.device()) : Tensor();
  const Tensor dgain = gradient(needs[1], parameter), dbias = gradient(needs[2], parameter),
               dalpha = gradient(needs[3], {1});
  const auto problem = [&]<class T>() {
    using A = accumulate_t<T>;
    NormProblem<T> p = problem_of<T>(plan, x, saved, gain, alpha);
    p.dz = device_data_or_null<T>(dz);
    p.dx = device_data_or_null<T>(dx);
    p.dgain = device_data_or_null<A>(dgain);
    p.dbias = device_data_or_null<A>(dbias);
    p.dalpha = device_data_or_null<A>(dalpha);
    return p;
  };
  dispatch_device(
      x, [&]<class T>() { norm_backward_on_cpu(problem.template operator()<T>()); },
      [&]<class T>() { norm_backward_on_gpu(problem.template operator()<T>()); });
  return {dx, dgain, dbias, dalpha};
}

// --- tape -------------------------------------------------------------------------------------

/// x normalised, as a node of the tape. With a residual, x is memory for the sum of first and the
/// addend.
Tensor normalized(const Tensor& x, const Tensor& first, const Residual& residual,
                  const NormSpec& spec, const NormParameters& given) {
  const NormPlan plan = norm_plan(x, spec, given);
  if (spec.variant.scale == Scale::none) return x;
  NormParameters t = widened(given, x.dtype());
  const bool swapped = is_swapped(plan, x);
  const Tensor rows = swapped ? channels_first(x, plan) : x;
  const NormSaved saved = saved_for(plan, x);
  Tensor z = forward(plan, residual.addend ? first : rows, saved, t, residual);
  if (swapped) z = channels_back(z, plan, x.shape());
  if (!needs_grad({x, t.gain, t.bias, t.alpha})) return z;

  // The closure keeps what the formula needs and nothing that would tie it to the tape.
  return record("normalize", z, {x, t.gain, t.bias, t.alpha},
                [=, rows = Saved(rows), gain = Saved(t.gain), alpha = Saved(t.alpha),
                 parameter = parameter_shape(plan, x, t)](const Tensor& dz, Needs needs) -> Grads {
                  const Tensor g = swapped ? channels_first(dz, plan) : dz;
                  Grads grads = backward(plan, rows.get(), saved, gain.get(), alpha.get(), g, needs,
                                         parameter);
                  if (swapped && grads[0].defined())
                    grads[0] = channels_back(grads[0].dense, plan, dz.shape());
                  return grads;
                });
}

// --- off the tape -----------------------------------------------------------------------------

void check_same(const char* name, const Tensor& t, const Shape& shape, DType dtype,
                const Tensor& x) {
  check<ArgumentError>(t.defined(), "norm_backward", name, " is missing");
  check(t.shape() == shape, "norm_backward", name, " must be ", shape, " for x ", x.shape(),
        ", got ", t.shape());
  check<DtypeError>(t.dtype() == dtype, "norm_backward", name, " must be ", dtype, ", got ",
                    t.dtype());
  check<DeviceError>(t.device() == x.device(), "norm_backward", name, " must be on ", x.device(),
                     " as x, is on ", t.device());
}

/// topk's indices are addresses.
void check_extremes(const NormPlan& plan, const Tensor& x, const Tensor& extremes) {
  check_same("extremes", extremes, {plan.rows, 2}, DType::int32, x);
  if (x.device() != Device::cpu) return;
  const int32_t* at = extremes.data<int32_t>();
  check(std::all_of(at, at + extremes.numel(), [&](int32_t i) { return i >= 0 && i < plan.H; }),
        "norm_backward", "extremes must be places in a row of ", plan.H);
}

void check_backward(const NormPlan& plan, const Tensor& dz, const Tensor& x,
                    const NormSaved& saved) {
  check_same("dz", dz, x.shape(), x.dtype(), x);
  if (plan.traits.has_statistics())
    check_same("statistics", saved.statistics, {5, plan.rows}, computed_in(x.dtype()), x);
  if (plan.clamp > 0) check_extremes(plan, x, saved.extremes);
}

void check_residual(const Tensor& x, const Tensor& residual) {
  check(residual.shape() == x.shape(), "normalize_residual", "residual must be ", x.shape(),
        " as x, got ", residual.shape());
  check<DtypeError>(residual.dtype() == x.dtype(), "normalize_residual", "residual must be ",
                    x.dtype(), " as x, got ", residual.dtype());
  check<DeviceError>(residual.device() == x.device(), "normalize_residual", "residual must be on ",
                     x.device(), " as x, is on ", residual.device());
}

/// The GPU's kernel adds the residual where the rows lie in one piece and are read once.
bool fuses_residual(const Tensor& x, const NormTraits& v, const NormParameters& t) {
  const bool by_channel =
      v.group == Group::batch || (v.group == Group::channel && t.running_mean && !t.training);
  return x.device() == Device::cuda && !by_channel && v.has_statistics() && !v.clamp;
}

}  // namespace

Tensor normalize(const Tensor& x, const NormSpec& spec, const NormParameters& parameters) {
  return normalized(x, {}, {}, spec, parameters);
}

std::pair<Tensor, NormSaved> norm_forward(const Tensor& x, const NormSpec& spec,
                                          const NormParameters& parameters, bool moments) {
  const NoGrad off;
  const NormPlan plan = norm_plan(x, spec, parameters);
  if (spec.variant.scale == Scale::none) return {x, {}};
  NormParameters t = widened(parameters, x.dtype());
  NormSaved saved = saved_for(plan, x);
  if (moments && plan.traits.has_statistics() && !plan.given_stats)
    saved.moments = moments_for(plan, x);
  const bool swapped = is_swapped(plan, x);
  const Tensor z = forward(plan, swapped ? channels_first(x, plan) : x, saved, t, {});
  return {swapped ? channels_back(z, plan, x.shape()) : z, saved};
}

NormGradients norm_backward(const Tensor& dz, const Tensor& x, const NormSaved& saved,
                            const NormSpec& spec, const NormParameters& parameters,
                            const NormNeeds& needs) {
  const NoGrad off;
  const NormPlan plan = norm_plan(x, spec, parameters);
  if (spec.variant.scale == Scale::none) return {needs.x ? dz : Tensor(), {}, {}, {}};
  check_backward(plan, dz, x, saved);
  const NormParameters t = widened(parameters, x.dtype());
  const bool swapped = is_swapped(plan, x);
  const auto turned = [&](const Tensor& v) { return swapped ? channels_first(v, plan) : v; };
  const bool wanted[] = {needs.x, needs.gain, needs.bias, needs.alpha};
  const Grads grads = backward(plan, turned(x), saved, t.gain, t.alpha, turned(dz), wanted,
                               parameter_shape(plan, x, t));
  const auto as_given = [](const Gradient& g, const Tensor& like) {
    return g.defined() && like ? g.dense.to(like.dtype()) : g.dense;
  };
  const Tensor& dx = grads[0].dense;
  return {swapped && dx ? channels_back(dx, plan, x.shape()) : dx,
          as_given(grads[1], parameters.gain), as_given(grads[2], parameters.bias),
          as_given(grads[3], parameters.alpha)};
}

std::pair<Tensor, Tensor> normalize_residual(const Tensor& x, const Tensor& residual,
                                             const NormSpec& spec,
                                             const NormParameters& parameters) {
  check_residual(x, residual);
  if (!fuses_residual(x, spec.variant, parameters)) {
    const Tensor total = x + residual;
    return {normalize(total, spec, parameters), total};
  }
  // The kernel fills the sum after it is on the tape.
  const Tensor total = record("add", Tensor::empty(x.shape(), x.dtype(), x.device()), {x, residual},
                              [](const Tensor& dz, Needs) -> Grads {
                                return {dz, dz};
                              });
  return {normalized(total, x, {residual, total}, spec, parameters), total};
}

}  // namespace normlab
