#include "ops/norm_plan.h"

#include <numeric>

#include "core/dispatch.h"
#include "ops/norm_settings.h"

namespace normlab {
namespace {

/// The running statistics take the place of x's own.
bool uses_running(const NormParameters& t) {
  return t.running_mean.defined() && !t.training;
}

// --- rows -------------------------------------------------------------------------------------

Shape row_of(const Tensor& x, int axes) {
  check(axes >= 1 && axes <= x.rank(), "normalize", "axes must be in [1, ", x.rank(), "] for x ",
        x.shape(), ", got ", axes);
  return x.shape().sub(x.rank() - axes, x.rank());
}

void cut_rows(NormPlan& p, const Shape& row) {
  p.H = row.numel();
  p.rows = p.outer;
  p.segment = p.traits.scalar_gain ? p.H : 0;
}

void cut_channels(NormPlan& p, const Shape& row) {
  p.channels = row[0];
  p.places = row.numel(1, row.rank());
  if (p.batch()) {
    p.rows = p.groups = p.channels;
    p.H = p.segment = p.outer * p.places;
    return;
  }
  const int64_t groups = p.settings.groups;
  p.groups = p.traits.group == Group::channel ? p.channels
             : groups > 0                     ? groups
                                              : std::gcd(p.channels, int64_t{32});
  check(p.channels % p.groups == 0, "normalize", "groups must divide the channels, got ", p.groups,
        " groups for ", p.channels, " channels (variant '", p.traits.name, "')");
  p.rows = p.outer * p.groups;
  p.segment = p.places;
  p.H = p.channels / p.groups * p.places;
}

NormPlan plan_of(const Tensor& x, const NormSpec& spec, const NormParameters& t) {
  const Shape row = row_of(x, t.axes);
  NormPlan p;
  p.traits = spec.variant;
  p.settings = spec.settings;
  p.given_stats = uses_running(t);
  // Where the running statistics are used, every row of a channel has the same: batchnorm.
  if (p.given_stats && p.traits.group == Group::channel) p.traits.group = Group::batch;
  p.outer = x.shape().numel(0, x.rank() - t.axes);
  if (p.traits.group == Group::row)
    cut_rows(p, row);
  else
    cut_channels(p, row);
  // The statistics of no elements are none.
  p.updates_running = t.running_mean.defined() && t.training && p.rows > 0 && p.H > 0;
  return p;
}

int64_t clamped_entries(const NormPlan& p) {
  const auto kk = static_cast<int64_t>(p.settings.topk_share * static_cast<double>(p.H));
  return kk > 1 ? kk : 0;  // the greatest clamped to the greatest: nothing to do
}

// --- checks -----------------------------------------------------------------------------------

struct Checked {
  const Tensor& x;
  const NormTraits& variant;
  Shape parameter;

  void operator()(const char* name, bool taken, const Tensor& t, const Shape& want) const {
    if (!t.defined()) return;
    check<ArgumentError>(taken, "normalize", "variant '", variant.name, "' takes no ", name);
    check(t.shape() == want, "normalize", name, " must be ", want, " for x ", x.shape(), ", got ",
          t.shape(), " (variant '", variant.name, "')");
    const DType wide = computed_in(x.dtype());
    check<DtypeError>(t.dtype() == x.dtype() || t.dtype() == wide, "normalize", name, " must be ",
                      x.dtype(), " as x", wide == x.dtype() ? "" : ", or float32", ", got ",
                      t.dtype());
    check<DeviceError>(t.device() == x.device(), "normalize", name, " must be on ", x.device(),
                       " as x, is on ", t.device());
  }
};

void check_running(const Checked& checked, const NormPlan& p, const NormParameters& t) {
  const DType dtype = checked.x.dtype();
  const bool taken = p.traits.takes_running_stats();
  checked("running_mean", taken, t.running_mean, checked.parameter);
  checked("running_var", taken, t.running_var, checked.parameter);
  for (const Tensor& running : {t.running_mean, t.running_var})
    if (running.defined())
      check<DtypeError>(running.dtype() == computed_in(dtype), "normalize",
                        "running statistics of x ", dtype, " must be float32, got ",
                        running.dtype());
  check<ArgumentError>(t.running_mean.defined() == t.running_var.defined(), "normalize",
                       "running_mean and running_var must be given both or not at all");
  check<ArgumentError>(!p.batch() || t.training || t.running_mean.defined(), "normalize",
                       "variant 'batchnorm' outside training needs running_mean and running_var");
}

/// One element has no deviation.
void check_row_length(const NormPlan& p, const Tensor& x, const NormParameters& t) {
  if (p.given_stats || p.H != 1) return;
  check<ArgumentError>(
      p.traits.group != Group::channel || !t.running_mean, "normalize", "variant '", p.traits.name,
      "' with running statistics needs more than one place a channel in training, x "
      "is ",
      x.shape());
  check<ArgumentError>(!p.batch(), "normalize",
                       "variant 'batchnorm' in training needs more than one value a channel, x is ",
                       x.shape(), "; leave out a last batch of one row, or use eval()");
  check(p.var_eps() || !p.traits.centred(), "normalize",
        "denominator 'std_eps' divides by the unbiased deviation, which one element does not have; "
        "x is ",
        x.shape(), " (variant '", p.traits.name, "')");
}

}  // namespace

Shape norm_parameter_shape(const NormTraits& variant, const Shape& row) {
  if (variant.scalar_gain) return {1};
  return variant.group == Group::row ? row : Shape{row[0]};
}

NormPlan norm_plan(const Tensor& x, const NormSpec& spec, const NormParameters& t) {
  check_carries_gradient("normalize", "x", x);
  NormPlan p = plan_of(x, spec, t);
  const NormTraits& v = p.traits;
  check<ArgumentError>(
      v.scale != Scale::tanh || (v.output != Output::adaptive && v.output != Output::residual),
      "normalize", "tanh goes with gain and bias only (variant '", v.name, "')");
  check_settings("normalize", spec);
  const Checked checked{x, v, norm_parameter_shape(v, row_of(x, t.axes))};
  checked("gain", v.takes_gain(), t.gain, checked.parameter);
  checked("bias", v.takes_bias(), t.bias, checked.parameter);
  checked("alpha", v.takes_alpha(), t.alpha, {1});
  check_running(checked, p, t);
  check_row_length(p, x, t);
  p.clamp = v.clamp ? clamped_entries(p) : 0;
  return p;
}

}  // namespace normlab
